import type { PeerState } from './held.ts';
import type { StrikeRule } from './strikes.ts';

/** What is held against peers, and for how long. */

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A few hundred KiB; a fleet of hundreds of hosts with two addresses each fits. */
const MAX_ENDPOINTS = 2_048;

/** Wrong bytes fail a whole pull. An hour outlasts every retry of a rollout. */
export const LIAR_MS = HOUR_MS;

/** The same time for each failure. */
function flat(ms: number) {
  return { strikes: 1, firstMs: ms, maxMs: ms, memoryMs: 0, max: MAX_ENDPOINTS };
}

function unanswering(state: PeerState) {
  const [firstMs, maxMs] = [5 * SECOND_MS, MINUTE_MS];
  return { state, strikes: 1, firstMs, maxMs, memoryMs: Number.POSITIVE_INFINITY, max: 10_000 };
}

/** Failures of one kind that are held against a peer: the table of their times. */
export const RULES = {
  /**
   * It could not be reached, broke off, or broke the rules. A restart is shorter than the first
   * time, and a pull longer.
   */
  failed: {
    state: 'barred',
    strikes: 1,
    firstMs: 5 * SECOND_MS,
    maxMs: 5 * MINUTE_MS,
    memoryMs: 10 * MINUTE_MS,
    max: MAX_ENDPOINTS,
  },
  /** It refuses us, and lets nobody in before a key file or a clock is changed. */
  denied: { state: 'barred', ...flat(MINUTE_MS) },
  /** Its bytes were wrong, which was found on the way. */
  lied: { state: 'barred', ...flat(LIAR_MS) },
  /** An endpoint that was asked later answered first. */
  overtaken: { state: 'overtaken', ...flat(10 * SECOND_MS) },
  /** Content that it was still downloading was wrong. */
  wrongInFlight: { state: 'barred in flight', ...flat(LIAR_MS) },
  /**
   * Content that it was still downloading came too slowly. Once may be a hiccup of its upstream;
   * after the second time each layer would cost again the time that it takes to tell.
   */
  slowInFlight: {
    state: 'barred in flight',
    ...flat(MINUTE_MS),
    strikes: 2,
    memoryMs: MINUTE_MS,
  },
  /**
   * It did not answer a lookup, or could not be reached. A first silence may be a pause of the
   * garbage collector. Other peers can make up ids, but the longer a row, the surer.
   */
  unanswering: unanswering('unanswering'),
  unreachable: unanswering('unreachable'),
} as const satisfies Record<string, StrikeRule>;

// ---- Suspects: peers whose wrong bytes reached containerd (suspects.ts)

/** Shorter where the liar may be another: one lie must not cost a fleet its honest hosts. */
export const MISLED_MS = 10 * MINUTE_MS;

/** The time doubles with each offence: 2^5 hours at the most. */
export const MAX_OFFENCES = 6;
export const LONGEST_SUSPICION_MS = LIAR_MS * 2 ** (MAX_OFFENCES - 1);

/** A peer that gave a right download stays proven for a day. */
export const PROVEN_MS = DAY_MS;

/** Offences are forgotten after a month. */
export const OFFENCE_MEMORY_MS = 30 * DAY_MS;

/** A record takes a failed pull to make, or comes with one; this many is an attack. */
export const MAX_SUSPECT_RECORDS = 2_048;

/** `suspects.json` with all its records stays below it. */
export const MAX_SUSPECTS_FILE_BYTES = 1024 * 1024;

// ---- What is told

/** A person reads some dozens; more is a flood of made-up peers. */
export const MAX_PEER_RECORDS = 1_024;
