import type { DigestAssignment } from '../../lib/tracker/assignment.ts';

export interface HostPlan {
  /** Mbit/s. */
  readonly up: number;
  readonly down: number;
  /** Mbit/s from the upstream, if less than its links. */
  readonly upstream?: number;
  /** Milliseconds. */
  readonly start: number;
  /** When it is unplugged. */
  readonly dies?: number;
}

export interface Plan {
  readonly hosts: readonly HostPlan[];
  /** The upstream's link, Mbit/s. */
  readonly upstream: number;
  /** MiB. */
  readonly layers: readonly number[];
  /** From one host to the next, milliseconds: also the step. */
  readonly hop: number;
  /** Hosts that have all of it from the start. */
  readonly providers?: readonly number[];
  /** Nobody asks again because the tracker tells it that it is held up. */
  readonly isDeaf?: boolean;
  readonly newAssignment: () => DigestAssignment;
}

export interface Outcome {
  /** Seconds from each host's start to its last byte; undefined: it died, or did not end. */
  readonly took: readonly (number | undefined)[];
  /** What the upstream sent, in images. */
  readonly copies: number;
  readonly maxDepth: number;
  readonly maxChildren: number;
  /** Times that a source was given up on. */
  readonly moves: number;
  /** 99 of 100 questions are answered in as many microseconds. */
  readonly askMicros: number;
}
