/** How far a transfer was, and when. */
export interface Mark {
  readonly have: number;
  readonly at: number;
}

/** Shorter windows measure the disk's write-back and TCP's bursts. */
const WINDOW_MS = 1_000;
/** A host that follows most of the time measures its upstream rarely. */
const FORGOTTEN_MS = 3_600_000;
/** Of the newest window in the running mean: a second's dip must not halve the figure. */
const WEIGHT = 0.5;

/** What one transfer from the upstream gave this host lately, measured while it led. */
export class UpstreamRate {
  #bytesPerS = 0;
  #at = Number.NEGATIVE_INFINITY;

  /** Bytes per second; undefined when nothing was measured within an hour. */
  get(now: number): number | undefined {
    return this.#at + FORGOTTEN_MS > now ? this.#bytesPerS : undefined;
  }

  /** Takes in how far a led transfer is, and returns the mark to give it the next time. */
  measured(since: Mark | undefined, mark: Mark): Mark {
    if (since === undefined || mark.have < since.have) return mark;
    const ms = mark.at - since.at;
    if (ms < WINDOW_MS) return since;
    // A stall is the upstream's failure, not its speed.
    if (mark.have === since.have) return mark;
    const rate = ((mark.have - since.have) * 1_000) / ms;
    const before = this.get(mark.at) ?? rate;
    this.#bytesPerS = before + WEIGHT * (rate - before);
    this.#at = mark.at;
    return mark;
  }
}
