import { RATE_MEMORY_MS, RATE_STEP_MS } from './constants.ts';

/**
 * How fast bytes come now: over the last one or two steps of RATE_STEP_MS. Time in which nothing is
 * asked for does not count.
 */
export class Progress {
  readonly #now: () => number;
  #earlier = { at: 0, bytes: 0 };
  #step = { at: 0, bytes: 0 };
  #bytes = 0;
  #askedAt = 0;
  #isAsked = false;
  #endedAt: number;
  /** In bytes per millisecond, of the request before. */
  #before: number | undefined;

  /**
   * `before`: what came at an earlier request, in bytes per millisecond. `now` is a monotonic clock
   * in milliseconds; tests give their own.
   */
  constructor(before?: number, now: () => number = () => performance.now()) {
    this.#before = before;
    this.#now = now;
    this.#endedAt = now();
  }

  /** Bytes are asked for from now on. */
  begin(): void {
    this.#isAsked = true;
    this.#askedAt = this.#now();
    this.#earlier = { at: this.#askedAt, bytes: this.#bytes };
    this.#step = this.#earlier;
  }

  /** The request is over. */
  end(): void {
    this.#before = this.rate();
    this.#isAsked = false;
    this.#endedAt = this.#now();
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    this.#advance();
  }

  /** How long the present request runs, in milliseconds. */
  get askedMs(): number {
    return this.#now() - this.#askedAt;
  }

  /** In bytes per millisecond. Undefined: nothing has come yet, or that was long ago. */
  rate(): number | undefined {
    if (!this.#isAsked) return this.#isOld ? undefined : this.#before;
    this.#advance();
    const ms = this.#now() - this.#earlier.at;
    // A request that has just begun tells nothing.
    if (ms < RATE_STEP_MS / 2 && this.#before !== undefined) return this.#before;
    return this.#bytes === 0 ? undefined : (this.#bytes - this.#earlier.bytes) / Math.max(1, ms);
  }

  /** A source that paused once would never be asked again. */
  get #isOld(): boolean {
    return this.#now() - this.#endedAt >= RATE_MEMORY_MS;
  }

  #advance(): void {
    const at = this.#now();
    if (at - this.#step.at < RATE_STEP_MS) return;
    this.#earlier = this.#step;
    this.#step = { at, bytes: this.#bytes };
  }
}
