import { RateWindow } from '../http/rate-window.ts';
import type { Sharing } from './sharing.ts';

/**
 * A peer slower than this is not worth the wait while the upstream answers: most are faster, and a pull must not
 * take longer for having found a peer. Judged after so much waiting, which TCP's slow start does not last.
 */
const WORTH_BYTES_PER_S = 512 * 1024;
export const FLOOR_WINDOW_MS = 1_500;

/** As long as `--min-source-rate` is about; shorter, a busy link would look like a slow peer. */
const RATE_WINDOW_MS = 5_000;

/** Whether bytes come fast enough to stay with the peer that sends them, as long as the upstream is there instead. */
export class ThroughputWatch {
  readonly #sharing: Sharing | undefined;
  readonly #total: (rate: number) => number;
  readonly #short: RateWindow;
  readonly #long: RateWindow;
  #missedShort = false;
  /** The rate that was not reached in the last long window. */
  #missedLong: number | undefined;

  /** `total`: what all bodies come to that share this host's link, when this one comes at a rate. `now`: a monotonic clock. */
  constructor(sharing: Sharing | undefined, total: (rate: number) => number, now?: () => number) {
    this.#sharing = sharing;
    this.#total = total;
    this.#short = new RateWindow(FLOOR_WINDOW_MS, now);
    this.#long = new RateWindow(sharing?.settings.rateWindowMs ?? RATE_WINDOW_MS, now);
  }

  /** From now on we wait. */
  wait(): void {
    this.#short.wait();
    this.#long.wait();
  }

  /**
   * Bytes came. The rate that they should have come at in the last window, in bytes per second, if they came too
   * slowly: said until a window is better, since the upstream may not be known to be there at once.
   */
  missed(bytes: number, isInflight: boolean): number | undefined {
    const short = this.#short.took(bytes);
    if (short !== undefined) this.#missedShort = short < WORTH_BYTES_PER_S;
    const long = this.#long.took(bytes);
    if (long !== undefined) {
      const least = this.#sharing?.leastRate ?? 0;
      this.#missedLong = this.#total(long) < least ? least : undefined;
    }
    if (this.#missedLong !== undefined) return this.#missedLong;
    // Who is still getting it himself may have a slow start of his own.
    return !isInflight && this.#missedShort ? WORTH_BYTES_PER_S : undefined;
  }
}
