import { BoundedMap } from '../base/bounded-map.ts';
import type { Digest } from '../oci/digest.ts';
import type { Manifest } from '../oci/manifest.ts';
import type { Suspects } from '../peers/suspects.ts';
import type { Router } from '../routing/router.ts';
import type { PeerRequestParts } from './ask.ts';
import type { ChunkBuffers } from './chunks/chunk-buffers.ts';
import type { OwnLink } from './chunks/own-link.ts';
import type { CircuitBreaker } from './circuit-breaker.ts';
import { MAX_KNOWN_SIZES } from './constants.ts';
import type { FailedAttempt, RaceBounds, RaceParts } from './race.ts';
import type { Sharing } from './sharing.ts';
import type { SuspectChecks } from './suspect-checks.ts';
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
  readonly chunkBuffers: ChunkBuffers;
  readonly ownLink: OwnLink;
  /** Undefined: peers are asked only for what they have whole. */
  readonly sharing: Sharing | undefined;
}

/**
 * The sizes of blobs, in bytes, that the manifests of this host's pulls name. A peer that promises
 * another length is refused before its first byte. Bounded: the oldest are forgotten.
 */
export class KnownSizes {
  readonly #sizes = new BoundedMap<Digest, number>(MAX_KNOWN_SIZES);

  learn(manifest: Manifest): void {
    for (const { digest, size } of manifest.children) {
      const known = this.#sizes.get(digest);
      // One of two manifests that contradict each other lies, so neither is believed.
      if (known === undefined || known === size) this.#sizes.set(digest, size);
      else this.#sizes.delete(digest);
    }
  }

  get(digest: Digest): number | undefined {
    return this.#sizes.get(digest);
  }
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
