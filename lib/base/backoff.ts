/** How long to wait between attempts, in milliseconds. */
export interface BackoffSettings {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * Waits that double from `minMs` to `maxMs`. Half of each is random: hosts that were switched on
 * together do not retry in step.
 */
export class Backoff {
  readonly #settings: BackoffSettings;
  #attempt = 0;

  /** `attempt`: failures before the first wait; 0 starts at `minMs`. */
  constructor(settings: BackoffSettings, attempt = 0) {
    this.#settings = settings;
    this.#attempt = attempt;
  }

  /** The next wait in milliseconds, never above `maxMs`. */
  next(): number {
    const { minMs, maxMs } = this.#settings;
    const full = Math.min(maxMs, minMs * 2 ** this.#attempt);
    if (full < maxMs) this.#attempt++;
    return full * (0.5 + Math.random() / 2);
  }

  reset(): void {
    this.#attempt = 0;
  }
}
