import { BoundedMap } from '../base/bounded-map.ts';
import type { Digest } from '../oci/digest.ts';
import type { Manifest } from '../oci/manifest.ts';

/**
 * Sizes of blobs, in bytes, as the manifests say that this host's containerd fetched: a peer that promises
 * another length is refused before its first byte. Bounded; the oldest go first.
 */
export class KnownSizes {
  readonly #sizes = new BoundedMap<Digest, number>(MAX_SIZES);

  learn(manifest: Manifest): void {
    for (const { digest, size } of manifest.children) {
      const known = this.#sizes.get(digest);
      // Two manifests that contradict each other: one of them lies, so neither is believed.
      if (known === undefined || known === size) this.#sizes.set(digest, size);
      else this.#sizes.delete(digest);
    }
  }

  get(digest: Digest): number | undefined {
    return this.#sizes.get(digest);
  }
}

/** About 1 MiB; some 200 images with 20 layers each. */
const MAX_SIZES = 4_096;
