/** A pause of a busy peer's garbage collector or scheduler is shorter; a frozen peer costs a first lookup this much. */
const MIN_SILENCE_MS = 100;
/** Above it a resolve timeout of 200 ms would be gone before another peer was asked. */
const MAX_SILENCE_MS = 150;
const MIN_HEDGE_MS = 20;
const MAX_HEDGE_MS = 75;
/** Weight of a new measurement in the running mean. */
const WEIGHT = 0.1;
/** Where the mean starts: a data centre's round trip with some work at the other end. */
const START_MS = 5;

/** How long to wait for a peer, learned from how long the others take: a fleet across continents needs more. */
export class AdaptiveTimeout {
  #mean = START_MS;

  /** After this long without an answer another peer is asked as well. */
  get hedgeAfterMs(): number {
    return Math.min(MAX_HEDGE_MS, Math.max(MIN_HEDGE_MS, 3 * this.#mean));
  }

  /** After this long without an answer a peer counts as silent. */
  get silentAfterMs(): number {
    return Math.min(MAX_SILENCE_MS, Math.max(MIN_SILENCE_MS, 4 * this.#mean));
  }

  /** Takes in the time of one answer, in milliseconds. One that was very late counts as late, not as the norm. */
  addSample(ms: number): void {
    this.#mean += WEIGHT * (Math.min(ms, MAX_SILENCE_MS) - this.#mean);
  }
}
