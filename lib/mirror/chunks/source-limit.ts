import { LIMIT_SHARE, LIMIT_WINDOW_MS } from './constants.ts';

/** Whether a source is what a body waits for, rather than the client that takes it. */
export class SourceLimit {
  readonly #now: () => number;
  #since: number;
  #waitingSince = 0;
  #waitedMs = 0;
  #bytes = 0;
  /** In bytes per millisecond: what the source gave in a window in which it was the limit. */
  rate: number | undefined;

  /** `now` is a monotonic clock in milliseconds; tests give their own. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#since = now();
  }

  /** From now on the client waits for bytes. */
  wait(): void {
    this.#waitingSince = this.#now();
  }

  /** Bytes came without a wait. */
  add(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Bytes came. */
  took(bytes: number): void {
    const now = this.#now();
    this.#waitedMs += now - this.#waitingSince;
    this.#bytes += bytes;
    const ms = now - this.#since;
    if (ms < LIMIT_WINDOW_MS) return;
    this.rate = this.#waitedMs >= ms * LIMIT_SHARE ? this.#bytes / ms : undefined;
    this.#since = now;
    this.#waitedMs = 0;
    this.#bytes = 0;
  }
}
