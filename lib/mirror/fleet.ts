import type { Router } from '../routing/router.ts';
import type { PeerRequestParts } from './ask.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import type { KnownSizes } from './known-sizes.ts';
import type { FailedAttempt, RaceBounds, RaceParts } from './race.ts';
import type { Sharing } from './sharing.ts';
import type { SuspectChecks } from './suspect-checks.ts';
import type { Suspects } from './suspects.ts';
import type { Transfers } from './throughput.ts';
import type { Verdicts } from './verdicts.ts';

/** The parts that every request to the fleet works with. */
export interface Fleet extends RaceParts, PeerRequestParts {
  readonly router: Router;
  readonly sizes: KnownSizes;
  readonly breaker: CircuitBreaker;
  readonly suspects: Suspects;
  readonly checks: SuspectChecks;
  readonly verdicts: Verdicts;
  readonly bounds: RaceBounds;
  readonly transfers: Transfers;
  /** Undefined: peers are asked only for what they have whole. */
  readonly sharing: Sharing | undefined;
}

/** The reason of a miss after its reader has gone. */
export const CLIENT_GONE = 'the client has gone away';

/** No peer could answer. Says why, and which peers were tried, to containerd and to the log. */
export class Miss {
  readonly reason: string;
  readonly tried: readonly FailedAttempt[];

  constructor(reason: string, tried: readonly FailedAttempt[]) {
    this.reason = reason;
    this.tried = tried;
  }
}
