import { MAX_WAITING_EVENTS } from './constants.ts';
import type { StoreEvent } from './store.ts';

interface Watcher {
  waiting: StoreEvent[];
  /**
   * The snapshot is taken when the watcher asks for its next event, so it has all changes until
   * then.
   */
  needsSnapshot: boolean;
  wake: () => void;
}

/**
 * The keys of a store, and their changes as events for any number of watchers. Watchers get nothing
 * before the first `replace`.
 */
export class EventFeed {
  #keys = new Set<string>();
  #isKnown = false;
  readonly #watchers = new Set<Watcher>();

  /** True after the first `replace`: the keys are known, even if there are none. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** Replaces all keys. Every watcher gets a snapshot. */
  replace(keys: ReadonlySet<string>): void {
    this.#keys = new Set(keys);
    this.#isKnown = true;
    for (const watcher of this.#watchers) askForSnapshot(watcher);
  }

  /** Replaces all keys. Every watcher gets what was removed and added. */
  change(keys: ReadonlySet<string>): void {
    const removed = [...this.#keys.difference(keys)];
    const added = [...keys.difference(this.#keys)];
    this.#keys = new Set(keys);
    if (removed.length > 0) this.#notify({ type: 'removed', keys: removed });
    if (added.length > 0) this.#notify({ type: 'added', keys: added });
  }

  /** Adds and removes single keys. Costs nothing for the other keys. */
  update(changes: { added?: readonly string[]; removed?: readonly string[] }): void {
    const keys = this.#keys;
    const removed = (changes.removed ?? []).filter((key) => keys.delete(key));
    const added = (changes.added ?? []).filter((key) => !keys.has(key) && keys.add(key));
    if (removed.length > 0) this.#notify({ type: 'removed', keys: removed });
    if (added.length > 0) this.#notify({ type: 'added', keys: added });
  }

  /** See ContentStore.watch. */
  async *watch(signal: AbortSignal): AsyncGenerator<StoreEvent, void, undefined> {
    const watcher: Watcher = { waiting: [], needsSnapshot: true, wake: () => {} };
    const onAbort = () => {
      this.#watchers.delete(watcher);
      watcher.wake();
    };
    if (signal.aborted) return;
    this.#watchers.add(watcher);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      while (!signal.aborted) {
        const event = this.#take(watcher);
        if (event !== undefined) yield event;
        else await new Promise<void>((resolve) => (watcher.wake = resolve));
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#watchers.delete(watcher);
    }
  }

  #take(watcher: Watcher): StoreEvent | undefined {
    if (!watcher.needsSnapshot) return watcher.waiting.shift();
    if (!this.#isKnown) return undefined;
    watcher.needsSnapshot = false;
    return { type: 'snapshot', keys: new Set(this.#keys) };
  }

  #notify(event: StoreEvent): void {
    for (const watcher of this.#watchers) {
      if (watcher.needsSnapshot) continue;
      if (watcher.waiting.length < MAX_WAITING_EVENTS) {
        watcher.waiting.push(event);
        watcher.wake();
      } else {
        askForSnapshot(watcher);
      }
    }
  }
}

function askForSnapshot(watcher: Watcher): void {
  watcher.waiting = [];
  watcher.needsSnapshot = true;
  watcher.wake();
}
