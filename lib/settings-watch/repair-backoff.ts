/** The pauses between repairs of the settings, in milliseconds. */
export interface RepairBackoffSettings {
  readonly minMs: number;
  readonly maxMs: number;
  /** After this time without drift the pauses begin anew. */
  readonly quietMs: number;
}

/**
 * The pauses between repairs: none before the first, then pauses that double. Without them two
 * programs that write the same files would answer each other for ever. Times are of one monotonic
 * clock.
 */
export class RepairBackoff {
  readonly #settings: RepairBackoffSettings;
  #requests = 0;
  #requestedAt = Number.NEGATIVE_INFINITY;
  #driftAt = Number.NEGATIVE_INFINITY;

  constructor(settings: RepairBackoffSettings) {
    this.#settings = settings;
  }

  /** Number of requests since the last quiet time. */
  get requests(): number {
    return this.#requests;
  }

  /** The pause after the last request. */
  get pauseMs(): number {
    const { minMs, maxMs } = this.#settings;
    return this.#requests === 0 ? 0 : Math.min(maxMs, minMs * 2 ** (this.#requests - 1));
  }

  /**
   * Notes that the settings differ at this time. Returns how long to wait with a request, and
   * whether a quiet time has ended.
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
