import {
  FIRST_RESPONSE_GUESS_MS,
  HEDGE_AFTER_MS,
  RESPONSE_SAMPLE_WEIGHT,
  SILENT_AFTER_MS,
} from './constants.ts';

/**
 * How long to wait for a peer, learned from the response times of all peers: a fleet across
 * continents needs longer than one in a rack.
 */
export class AdaptiveTimeout {
  #meanMs = FIRST_RESPONSE_GUESS_MS;

  /** After this time without an answer another peer is asked as well. */
  get hedgeAfterMs(): number {
    return bounded(3 * this.#meanMs, HEDGE_AFTER_MS);
  }

  /** After this time without an answer a peer counts as silent. */
  get silentAfterMs(): number {
    return bounded(4 * this.#meanMs, SILENT_AFTER_MS);
  }

  /**
   * Adds the response time of one answer, in milliseconds. A very late answer counts as one at the
   * upper bound, so that a single one does not raise the timeout of all.
   */
  addSample(ms: number): void {
    const sampleMs = Math.min(ms, SILENT_AFTER_MS.max);
    this.#meanMs += RESPONSE_SAMPLE_WEIGHT * (sampleMs - this.#meanMs);
  }
}

function bounded(ms: number, { min, max }: { readonly min: number; readonly max: number }): number {
  return Math.min(max, Math.max(min, ms));
}
