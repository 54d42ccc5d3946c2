/** Says when a line that strangers can cause is to be logged: once per key and period, and so many keys at most. */
export class LogRateLimit {
  readonly #periodMs: number;
  readonly #maxKeys: number;
  readonly #now: () => number;
  readonly #told = new Set<string>();
  #since = Number.NEGATIVE_INFINITY;
  #kept = 0;

  /** `now` is a monotonic clock in milliseconds; tests give their own. */
  constructor(periodMs: number, maxKeys: number, now: () => number = () => performance.now()) {
    this.#periodMs = periodMs;
    this.#maxKeys = maxKeys;
    this.#now = now;
  }

  /** How many were kept to themselves since the last one told, when this one is to be told; else undefined. */
  admit(key: string): number | undefined {
    const now = this.#now();
    if (now - this.#since >= this.#periodMs) {
      this.#since = now;
      this.#told.clear();
    }
    if (this.#told.has(key) || this.#told.size >= this.#maxKeys) {
      this.#kept += 1;
      return undefined;
    }
    this.#told.add(key);
    const kept = this.#kept;
    this.#kept = 0;
    return kept;
  }
}
