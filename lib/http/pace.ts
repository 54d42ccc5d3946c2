/**
 * Is a source fast enough to be worth waiting for? Counts only the time in which we wait for it: what the
 * client needs to take the bytes is not its fault. Without it a peer that sends one byte before each silence
 * runs out would hold a layer up for days.
 */
export class Pace {
  readonly #windowMs: number;
  readonly #now: () => number;
  #waitingSince = 0;
  #waitedMs = 0;
  #bytes = 0;

  /** `windowMs`: how much waiting is judged at once. `now`: a monotonic clock in milliseconds. */
  constructor(windowMs: number, now: () => number = () => performance.now()) {
    this.#windowMs = windowMs;
    this.#now = now;
  }

  /** From now on we wait. */
  wait(): void {
    this.#waitingSince = this.#now();
  }

  /** Bytes came, the waiting is over. The rate in bytes per second, each time that a whole window went by. */
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
