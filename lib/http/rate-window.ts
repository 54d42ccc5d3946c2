/**
 * Measures how fast a source sends, in windows of waiting time. Counts only the time in which we
 * wait for the source, not the time that the client needs to take the bytes. Without it, a peer
 * that sends one byte before each timeout would hold a layer up for days.
 */
export class RateWindow {
  readonly #windowMs: number;
  readonly #now: () => number;
  #waitingSince = 0;
  #waitedMs = 0;
  #bytes = 0;

  /** `windowMs`: how much waiting is one window. `now`: a monotonic clock in milliseconds. */
  constructor(windowMs: number, now: () => number = () => performance.now()) {
    this.#windowMs = windowMs;
    this.#now = now;
  }

  /** The waiting begins. */
  wait(): void {
    this.#waitingSince = this.#now();
  }

  /** Bytes came without a wait. */
  add(bytes: number): void {
    this.#bytes += bytes;
  }

  /**
   * The waiting ends: bytes came. Returns the rate in bytes per second when a window is full,
   * otherwise undefined.
   */
  took(bytes: number): number | undefined {
    this.#waitedMs += this.#now() - this.#waitingSince;
    this.#bytes += bytes;
    if (this.#waitedMs < this.#windowMs) return undefined;
    const rate = (this.#bytes * 1_000) / this.#waitedMs;
    this.#waitedMs = 0;
    this.#bytes = 0;
    return rate;
  }
}
