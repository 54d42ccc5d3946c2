import type { Digest } from '../oci/digest.ts';
import { MAX_TASKS } from './constants.ts';

/** Something to read from containerd. */
export type Task =
  | { readonly type: 'scan'; readonly notify: 'snapshot' | 'difference' }
  | { readonly type: 'image'; readonly namespace: string; readonly name: string }
  | {
      readonly type: 'content';
      readonly namespace: string;
      readonly digest: Digest;
      /** In bytes, where containerd has said that it is complete. */
      readonly size?: number;
      /** How often its labels were missing. */
      readonly attempt: number;
    };

/**
 * Tasks of a session, done one by one. A scan beside an event would undo the change of the event in
 * the index.
 */
export class TaskQueue {
  #tasks: Task[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Scans with a delay. The key is the delay in milliseconds. */
  readonly #scans = new Map<number, NodeJS.Timeout>();
  #wake = () => {};

  push(task: Task): void {
    const isScan = task.type === 'scan';
    // A waiting scan finds the same. Only a snapshot does more than a difference.
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

  /**
   * Queues a task after `ms` milliseconds. Drops it if there are too many: the next periodic scan
   * finds it.
   */
  pushLater(ms: number, task: Task): void {
    if (this.#timers.size >= MAX_TASKS) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.push(task);
    }, ms);
    this.#timers.add(timer);
  }

  /**
   * Queues a scan after `ms` milliseconds. If one with the same delay waits already, `keep` keeps
   * its time and `restart` starts the delay again.
   */
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

  /** Waits for the next task. Rejects with the signal's reason. */
  async next(signal: AbortSignal): Promise<Task> {
    for (;;) {
      signal.throwIfAborted();
      const task = this.#tasks.shift();
      if (task !== undefined) return task;
      await this.#pushed(signal);
    }
  }

  /** Drops all tasks and timers. */
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
