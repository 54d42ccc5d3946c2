/**
 * Is a source fast enough to be worth waiting for? Counts only the time in which we wait for it: what the
 * client needs to take the bytes is not its fault. Without it a peer that sends one byte before each silence
 * runs out would hold a layer up for days.
 */
export class Pace {
  readonly #windowMs: number;
  readonly #minBytesPerS: number;
  #waitingSince = 0;
  #waitedMs = 0;
  #bytes = 0;

  /** `windowMs`: how much waiting is judged at once. */
  constructor(windowMs: number, minBytesPerS: number) {
    this.#windowMs = windowMs;
    this.#minBytesPerS = minBytesPerS;
  }

  /** From now on we wait. */
  wait(): void {
    this.#waitingSince = performance.now();
  }

  /** Bytes came, the waiting is over. True when a whole window went by below the least rate. */
  tooSlow(bytes: number): boolean {
    this.#waitedMs += performance.now() - this.#waitingSince;
    this.#bytes += bytes;
    if (this.#waitedMs < this.#windowMs) return false;
    const rate = (this.#bytes * 1_000) / this.#waitedMs;
    this.#waitedMs = 0;
    this.#bytes = 0;
    return rate < this.#minBytesPerS;
  }
}
