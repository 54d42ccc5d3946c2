import type { Digest } from '../oci/digest.ts';
import { MAX_TASKS } from './constants.ts';

/** Something to look at in containerd. */
export type Task =
  | { readonly type: 'scan'; readonly notify: 'snapshot' | 'difference' }
  | { readonly type: 'image'; readonly namespace: string; readonly name: string }
  | {
      readonly type: 'content';
      readonly namespace: string;
      readonly digest: Digest;
      /** How often its labels were looked for in vain. */
      readonly attempt: number;
    };

/**
 * What is to be done, one after the other: a scan that runs beside an event would put back, or take away, what
 * the event has just changed.
 */
export class TaskQueue {
  #tasks: Task[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Scans that wait, by their delay. */
  readonly #scans = new Map<number, NodeJS.Timeout>();
  #wake = () => {};

  push(task: Task): void {
    const isScan = task.type === 'scan';
    // A scan that waits finds the rest too; only a snapshot says more than a difference.
    if (
      isScan &&
      this.#tasks.some((other) => other.type === 'scan' && other.notify === task.notify)
    ) {
      return;
    }
    if (this.#tasks.length >= MAX_TASKS) this.#tasks = [{ type: 'scan', notify: 'snapshot' }];
    else this.#tasks.push(task);
    this.#wake();
  }

  /** Pushes after `ms`. Beyond the bound it is left to the periodic sweep. */
  pushLater(ms: number, task: Task): void {
    if (this.#timers.size >= MAX_TASKS) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.push(task);
    }, ms);
    this.#timers.add(timer);
  }

  /** A scan after `ms`, counted from the last call with that `ms`, or (`keep`) from the first one. */
  scanLater(ms: number, again: 'keep' | 'restart'): void {
    const waiting = this.#scans.get(ms);
    if (waiting !== undefined && again === 'keep') return;
    clearTimeout(waiting);
    const timer = setTimeout(() => {
      this.#scans.delete(ms);
      this.push({ type: 'scan', notify: 'difference' });
    }, ms);
    this.#scans.set(ms, timer);
  }

  /** The next task; rejects with the signal's reason. */
  async next(signal: AbortSignal): Promise<Task> {
    for (;;) {
      signal.throwIfAborted();
      const task = this.#tasks.shift();
      if (task !== undefined) return task;
      await this.#pushed(signal);
    }
  }

  /** Ends all timers. */
  close(): void {
    for (const timer of [...this.#timers, ...this.#scans.values()]) clearTimeout(timer);
    this.#timers.clear();
    this.#scans.clear();
    this.#tasks = [];
  }

  #pushed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        signal.removeEventListener('abort', done);
        resolve();
      };
      signal.addEventListener('abort', done, { once: true });
      this.#wake = done;
    });
  }
}
