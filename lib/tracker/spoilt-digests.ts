import { ExpiringMap } from '../base/expiring-map.ts';
import type { Digest } from '../oci/digest.ts';

interface Spoil {
  /** Pullers whose bytes were wrong. */
  readonly reporters: Set<string>;
  /** Who is not offered any more: they themselves, and whom they had the bytes from. */
  readonly barred: Set<string>;
}

const BARRED_MS = 3_600_000;
/** A digest that was wrong for one puller may be so on its disk alone, or a lie; sharing ends at the second. */
const REPORTERS_TO_BAR = 2;
const MAX_DIGESTS = 256;
const MAX_BARRED = 16;
const NOBODY: ReadonlySet<string> = new Set();

/**
 * Digests whose bytes turned out wrong. Bars those who had them, and in-flight sharing of the digest once two
 * pullers said so: one liar can take itself and a source out, not a digest. Bounded: the oldest is forgotten.
 */
export class SpoiltDigests {
  readonly #spoils: ExpiringMap<Spoil>;

  /** `now` is a monotonic clock in milliseconds. */
  constructor(now: () => number) {
    this.#spoils = new ExpiringMap(MAX_DIGESTS, now);
  }

  /** A puller of the digest had all bytes, and they were wrong. */
  report(digest: Digest, reporter: string, source: string | undefined): void {
    const { reporters, barred } = this.#spoils.get(digest) ?? this.#add(digest);
    if (reporters.size < REPORTERS_TO_BAR) reporters.add(reporter);
    for (const peer of [reporter, source]) {
      if (peer !== undefined && barred.size < MAX_BARRED) barred.add(peer);
    }
  }

  /** True when nobody is to share it while it grows. */
  isBarred(digest: Digest): boolean {
    return (this.#spoils.get(digest)?.reporters.size ?? 0) >= REPORTERS_TO_BAR;
  }

  /** Who is not to be a source of it. */
  barred(digest: Digest): ReadonlySet<string> {
    return this.#spoils.get(digest)?.barred ?? NOBODY;
  }

  #add(digest: Digest): Spoil {
    const spoil = { reporters: new Set<string>(), barred: new Set<string>() };
    this.#spoils.set(digest, spoil, BARRED_MS);
    return spoil;
  }
}
