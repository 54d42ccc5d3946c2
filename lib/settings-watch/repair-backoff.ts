/** How soon settings that were put back may be put back again, in milliseconds. */
export interface RepairBackoffSettings {
  readonly minMs: number;
  readonly maxMs: number;
  /** So long nothing was wrong: then it begins anew. */
  readonly quietMs: number;
}

/**
 * At once the first time, then after pauses that double: of two programs that write the same files
 * each would wake the other for ever. Times are of one monotonic clock.
 */
export class RepairBackoff {
  readonly #settings: RepairBackoffSettings;
  #requests = 0;
  #requestedAt = Number.NEGATIVE_INFINITY;
  #driftAt = Number.NEGATIVE_INFINITY;

  constructor(settings: RepairBackoffSettings) {
    this.#settings = settings;
  }

  /** How often it was asked since the last quiet time. */
  get requests(): number {
    return this.#requests;
  }

  /** The pause that follows the last time. */
  get pauseMs(): number {
    const { minMs, maxMs } = this.#settings;
    return this.#requests === 0 ? 0 : Math.min(maxMs, minMs * 2 ** (this.#requests - 1));
  }

  /**
   * Something is wrong at this time: gives how long to wait with asking. True once a quiet time has
   * ended.
   */
  onDrift(now: number): { readonly waitMs: number; readonly isNew: boolean } {
    const isNew = now - this.#driftAt >= this.#settings.quietMs;
    if (isNew) this.#requests = 0;
    this.#driftAt = now;
    return { waitMs: Math.max(0, this.#requestedAt + this.pauseMs - now), isNew };
  }

  onRequest(now: number): void {
    this.#requests += 1;
    this.#requestedAt = now;
  }
}
