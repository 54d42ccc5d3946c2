export interface TimeBudgetSettings {
  /** The part of one core, or of one thread, that may be spent on average. */
  readonly share: number;
  /** What may be spent at once after a quiet time. */
  readonly burstMs: number;
}

/**
 * The CPU time that some work may take (a token bucket): time that was spent comes back slowly, and
 * until then the work waits. `now` is always of one monotonic clock, in milliseconds.
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

  /** How long the next work has to wait. */
  waitMs(now: number): number {
    const { share, burstMs } = this.#settings;
    return Math.max(0, (this.#spentAt(now) - burstMs) / share);
  }

  #spentAt(now: number): number {
    return Math.max(0, this.#spentMs - (now - this.#at) * this.#settings.share);
  }
}
