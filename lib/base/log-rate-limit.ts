/**
 * Limits log lines that other hosts can cause: one line for each key in a period, and at most
 * `maxKeys` lines.
 */
export class LogRateLimit {
  readonly #periodMs: number;
  readonly #maxKeys: number;
  readonly #now: () => number;
  readonly #logged = new Set<string>();
  #periodStart = Number.NEGATIVE_INFINITY;
  #leftOut = 0;

  /** `now` is a monotonic clock in milliseconds; tests give their own. */
  constructor(periodMs: number, maxKeys: number, now: () => number = () => performance.now()) {
    this.#periodMs = periodMs;
    this.#maxKeys = maxKeys;
    this.#now = now;
  }

  /**
   * Undefined: this line is left out. Otherwise it is to be logged, and the result is the number of
   * lines that were left out since the last one.
   */
  admit(key: string): number | undefined {
    const now = this.#now();
    if (now - this.#periodStart >= this.#periodMs) {
      this.#periodStart = now;
      this.#logged.clear();
    }
    if (this.#logged.has(key) || this.#logged.size >= this.#maxKeys) {
      this.#leftOut += 1;
      return undefined;
    }
    this.#logged.add(key);
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    return leftOut;
  }
}
