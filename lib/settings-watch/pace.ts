/** How soon settings that were put back may be put back again, in milliseconds. */
export interface PaceSettings {
  readonly minMs: number;
  readonly maxMs: number;
  /** So long nothing was wrong: then it begins anew. */
  readonly quietMs: number;
}

/**
 * At once the first time, then after pauses that double: of two programs that write the same files
 * each would wake the other for ever. Times are of one monotonic clock.
 */
export class Pace {
  readonly #settings: PaceSettings;
  #asked = 0;
  #askedAt = Number.NEGATIVE_INFINITY;
  #wrongAt = Number.NEGATIVE_INFINITY;

  constructor(settings: PaceSettings) {
    this.#settings = settings;
  }

  /** How often it was asked since the last quiet time. */
  get asked(): number {
    return this.#asked;
  }

  /** The pause that follows the last time. */
  get pauseMs(): number {
    const { minMs, maxMs } = this.#settings;
    return this.#asked === 0 ? 0 : Math.min(maxMs, minMs * 2 ** (this.#asked - 1));
  }

  /**
   * Something is wrong at this time: gives how long to wait with asking. True once a quiet time has
   * ended.
   */
  wrong(now: number): { readonly waitMs: number; readonly isNew: boolean } {
    const isNew = now - this.#wrongAt >= this.#settings.quietMs;
    if (isNew) this.#asked = 0;
    this.#wrongAt = now;
    return { waitMs: Math.max(0, this.#askedAt + this.pauseMs - now), isNew };
  }

  ask(now: number): void {
    this.#asked += 1;
    this.#askedAt = now;
  }
}
