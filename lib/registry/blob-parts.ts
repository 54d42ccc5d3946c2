import type { Instruments } from '../base/instruments.ts';
import type { Mirror } from '../mirror/mirror.ts';
import type { InflightContent } from './inflight.ts';
import type { LocalContent } from './local.ts';
import type { ManifestBudget } from './manifest-budget.ts';
import type { MissedManifests } from './missed-manifests.ts';

/** What a request for a blob is answered with. */
export interface BlobParts {
  readonly local: LocalContent;
  readonly mirror: Mirror;
  readonly missed: MissedManifests;
  readonly budget: ManifestBudget;
  readonly instruments: Instruments;
  /** Answer 206 to a first `bytes=0-`, so that containerd fetches a layer in parallel. */
  readonly parallelFetch: boolean;
  /** In-flight sharing; undefined: switched off. */
  readonly inflight: InflightContent | undefined;
}
