/** Of one core, on average: a program that writes beside the settings all day is looked at all day. */
const SHARE = 0.04;
/** What may be spent at once after a quiet time: some looks of a host with few registries. */
const BURST_MS = 1_000;

/**
 * What looking may cost: what a look has spent comes back slowly. Times are of one monotonic clock,
 * all in milliseconds.
 */
export class Budget {
  #spentMs = 0;
  #at = Number.NEGATIVE_INFINITY;

  spend(ms: number, now: number): void {
    this.#spentMs = this.#spentAt(now) + ms;
    this.#at = now;
  }

  /** How long to wait with the next look. */
  restMs(now: number): number {
    return Math.max(0, (this.#spentAt(now) - BURST_MS) / SHARE);
  }

  #spentAt(now: number): number {
    return Math.max(0, this.#spentMs - (now - this.#at) * SHARE);
  }
}
