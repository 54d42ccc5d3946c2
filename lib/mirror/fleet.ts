import type { Router } from '../routing/router.ts';
import type { PeerRequestParts } from './ask.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import type { KnownSizes } from './known-sizes.ts';
import type { FailedAttempt, RaceBounds, RaceParts } from './race.ts';
import type { Sharing } from './sharing.ts';
import type { SuspectChecks } from './suspect-checks.ts';
import type { Suspects } from './suspects.ts';
import type { Transfers } from './transfers.ts';
import type { Verdicts } from './verdicts.ts';

/** What every request to the fleet works with. */
export interface Fleet extends RaceParts, PeerRequestParts {
  readonly router: Router;
  readonly sizes: KnownSizes;
  readonly breaker: CircuitBreaker;
  readonly suspects: Suspects;
  readonly checks: SuspectChecks;
  readonly verdicts: Verdicts;
  readonly bounds: RaceBounds;
  /** Bodies that come from peers now. */
  readonly transfers: Transfers;
  /** Undefined: only what peers have whole is asked for. */
  readonly sharing: Sharing | undefined;
}

/** The reason of a miss that nobody reads any more. */
export const CLIENT_GONE = 'the client has gone away';

/** Nobody could answer: what to tell containerd, so that an administrator sees what was tried. */
export class Miss {
  readonly reason: string;
  readonly tried: readonly FailedAttempt[];

  constructor(reason: string, tried: readonly FailedAttempt[]) {
    this.reason = reason;
    this.tried = tried;
  }
}
