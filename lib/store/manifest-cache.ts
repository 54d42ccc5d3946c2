import type { Digest } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES, type Manifest, parseManifest } from '../oci/manifest.ts';
import { readAllBytes } from './read-all-bytes.ts';
import type { Source } from './store.ts';

/**
 * Manifests as parsed. A digest's content never changes, so a sweep over a store reads only manifests that it
 * has not seen: without this, every sweep would read every manifest from disk.
 */
export class ManifestCache {
  #manifests = new Map<Digest, Manifest>();

  /** The manifest, or undefined when the source is none or is larger than one may be. Rejects when it cannot be read. */
  async get(source: Source, signal: AbortSignal): Promise<Manifest | undefined> {
    const known = this.#manifests.get(source.digest);
    if (known !== undefined || source.size > MAX_MANIFEST_BYTES) return known;
    const manifest = parseManifest(await readAllBytes(source, MAX_MANIFEST_BYTES, signal));
    if (manifest !== undefined) this.#manifests.set(source.digest, manifest);
    return manifest;
  }

  /** Forgets what is no longer there: the cache is as large as the store's state. */
  keep(digests: { has(digest: Digest): boolean }): void {
    for (const digest of this.#manifests.keys()) {
      if (!digests.has(digest)) this.#manifests.delete(digest);
    }
  }
}
