/** The keys of a store as a watcher sees them, kept up to date in the background. */
import type { TestContext } from 'node:test';
import { waitUntil } from '../../lab/processes/exec.ts';
import type { ContentStore, StoreEvent } from '../../lib/store/store.ts';

export class Watched {
  readonly events: StoreEvent[] = [];
  readonly keys = new Set<string>();
  readonly #ending = new AbortController();
  readonly #done: Promise<void>;

  constructor(store: Pick<ContentStore, 'watch'>, t: TestContext) {
    this.#done = this.#follow(store.watch(this.#ending.signal));
    t.after(() => this.end());
  }

  async #follow(events: AsyncIterable<StoreEvent>): Promise<void> {
    for await (const event of events) {
      this.events.push(event);
      if (event.type === 'snapshot') this.keys.clear();
      for (const key of event.keys) {
        if (event.type === 'removed') this.keys.delete(key);
        else this.keys.add(key);
      }
    }
  }

  /** Keys in the order in which they were added. */
  get added(): string[] {
    return this.events.flatMap((event) => (event.type === 'added' ? event.keys : []));
  }

  has(keys: readonly string[]): boolean {
    return keys.every((key) => this.keys.has(key));
  }

  until(what: string, check: () => boolean, timeoutMs = 15_000): Promise<void> {
    return waitUntil(`${what}; keys: ${[...this.keys].join(' ')}`, check, { timeoutMs });
  }

  untilHas(keys: readonly string[], timeoutMs?: number): Promise<void> {
    return this.until(`there is ${keys.join(' ')}`, () => this.has(keys), timeoutMs);
  }

  untilGone(keys: readonly string[], timeoutMs?: number): Promise<void> {
    const gone = () => !keys.some((key) => this.keys.has(key));
    return this.until(`gone is ${keys.join(' ')}`, gone, timeoutMs);
  }

  async end(): Promise<void> {
    this.#ending.abort();
    await this.#done;
  }
}
