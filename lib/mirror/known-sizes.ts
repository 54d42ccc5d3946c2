import { BoundedMap } from '../base/bounded-map.ts';
import type { Digest } from '../oci/digest.ts';
import type { Manifest } from '../oci/manifest.ts';
import { MAX_KNOWN_SIZES } from './constants.ts';

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
