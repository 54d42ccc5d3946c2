/** How long is waited for content that is on its way and gives nothing, in milliseconds. */
export interface InflightTimes {
  /** By who follows, for the first byte; in the middle of a body a little longer the further it is from the leader. */
  readonly inflightWaitMs: number;
  /** By who follows, where the bytes of its other contents keep its link busy. */
  readonly starvedWaitMs: number;
  /**
   * By who sends it on: those who follow give up first, one after the other, or all of them would be left alone in the
   * same moment.
   */
  readonly stallMs: number;
  /** By who sends it on, where its other downloads grow. */
  readonly starvedStallMs: number;
}

/**
 * A content that is only starved by others, which share its link, is waited for so many times as long: what is left of a
 * wait that would be in vain is a copy of it from the upstream for each host.
 */
const STARVED_WAITS = 5;

/**
 * Those who are further from a stalled leader wait longer, and stay behind whom they follow: until the next one has
 * ended its body, was asked again by its containerd, has gone upstream and written the first MiB.
 */
const TAKE_OVER_MS = 500;
const STAGGER_MS = 150;

/** A tracker that makes up a larger depth must not make anybody wait for long. */
const MAX_STAGGERS = 6;

/** All times that follow from `--inflight-wait`. */
export function inflightTimes(inflightWaitMs: number): InflightTimes {
  const starvedWaitMs = inflightWaitMs * STARVED_WAITS;
  const longestMs = staggerMs(MAX_STAGGERS);
  return {
    inflightWaitMs,
    starvedWaitMs,
    stallMs: inflightWaitMs + longestMs,
    starvedStallMs: starvedWaitMs + longestMs,
  };
}

/** What one waits longer in the middle of a body, in milliseconds. `depth`: hosts between the leader and the source. */
export function staggerMs(depth: number): number {
  return depth === 0 ? 0 : TAKE_OVER_MS + Math.min(depth, MAX_STAGGERS) * STAGGER_MS;
}
