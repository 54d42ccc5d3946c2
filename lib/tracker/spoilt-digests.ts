import { ExpiringMap } from '../base/expiring-map.ts';
import type { Digest } from '../oci/digest.ts';
import {
  MAX_BARRED_SOURCES,
  MAX_SPOILT_DIGESTS,
  REPORTERS_TO_BAR,
  SPOILT_DIGEST_MS,
} from './constants.ts';

interface Spoil {
  /** Pullers that had all bytes, and they were wrong. */
  readonly reporters: Set<string>;
  /** Not offered as a source any more: the reporters, and their sources. */
  readonly barred: Set<string>;
}

const NONE: ReadonlySet<string> = new Set();

/**
 * Digests of which wrong bytes came. Bars each puller that says so, and its source; two such
 * pullers end the in-flight sharing of the digest. So one liar can bar itself and a source, but not
 * a digest. Bounded: the oldest is forgotten.
 */
export class SpoiltDigests {
  readonly #spoils: ExpiringMap<Spoil>;

  /** `now` is a monotonic clock in milliseconds. */
  constructor(now: () => number) {
    this.#spoils = new ExpiringMap(MAX_SPOILT_DIGESTS, now);
  }

  /** A puller of the digest had all bytes, and they were wrong. */
  report(digest: Digest, reporter: string, source: string | undefined): void {
    const { reporters, barred } = this.#spoils.get(digest) ?? this.#add(digest);
    if (reporters.size < REPORTERS_TO_BAR) reporters.add(reporter);
    for (const peer of [reporter, source]) {
      if (peer !== undefined && barred.size < MAX_BARRED_SOURCES) barred.add(peer);
    }
  }

  /** The digest is not to be shared while it is in flight. */
  isBarred(digest: Digest): boolean {
    return (this.#spoils.get(digest)?.reporters.size ?? 0) >= REPORTERS_TO_BAR;
  }

  /** Peers that are not to be a source of it. */
  barred(digest: Digest): ReadonlySet<string> {
    return this.#spoils.get(digest)?.barred ?? NONE;
  }

  #add(digest: Digest): Spoil {
    const spoil = { reporters: new Set<string>(), barred: new Set<string>() };
    this.#spoils.set(digest, spoil, SPOILT_DIGEST_MS);
    return spoil;
  }
}
