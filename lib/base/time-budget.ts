export interface TimeBudgetSettings {
  /** Of one core, or of one thread: what may be spent on average. */
  readonly share: number;
  /** What may be spent at once after a quiet time, in milliseconds. */
  readonly burstMs: number;
}

/**
 * What some work may cost (a token bucket): what was spent comes back slowly, and until then the
 * work waits. Times are of one monotonic clock, all in milliseconds.
 */
export class TimeBudget {
  readonly #settings: TimeBudgetSettings;
  #spentMs = 0;
  #at = Number.NEGATIVE_INFINITY;

  constructor(settings: TimeBudgetSettings) {
    this.#settings = settings;
  }

  spend(ms: number, now: number): void {
    this.#spentMs = this.#spentAt(now) + ms;
    this.#at = now;
  }

  /** How long to wait with the next work. */
  waitMs(now: number): number {
    const { share, burstMs } = this.#settings;
    return Math.max(0, (this.#spentAt(now) - burstMs) / share);
  }

  #spentAt(now: number): number {
    return Math.max(0, this.#spentMs - (now - this.#at) * this.#settings.share);
  }
}
