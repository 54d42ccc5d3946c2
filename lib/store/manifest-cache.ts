import type { Digest } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES, type Manifest, parseManifest } from '../oci/manifest.ts';
import { readAllBytes } from './read-all-bytes.ts';
import type { Source } from './store.ts';

/**
 * Keeps manifests after they are parsed. The content of a digest never changes, so a scan of the
 * store reads only new manifests. Without the cache each scan reads all manifests from disk.
 */
export class ManifestCache {
  readonly #manifests = new Map<Digest, Manifest>();

  /**
   * The manifest. `find` gives the source of one that is not known yet. Undefined if there is none,
   * or if it is not a manifest or too large for one. Rejects if it cannot be read.
   */
  async get(
    digest: Digest,
    find: () => Promise<Source | undefined>,
    signal: AbortSignal,
  ): Promise<Manifest | undefined> {
    const known = this.#manifests.get(digest);
    if (known !== undefined) return known;
    const source = await find();
    if (source === undefined || source.size > MAX_MANIFEST_BYTES) return undefined;
    const manifest = parseManifest(await readAllBytes(source, MAX_MANIFEST_BYTES, signal));
    if (manifest !== undefined) this.#manifests.set(digest, manifest);
    return manifest;
  }

  /** Forgets all other manifests, so that the cache is no larger than the store. */
  keep(digests: { has(digest: Digest): boolean }): void {
    for (const digest of this.#manifests.keys()) {
      if (!digests.has(digest)) this.#manifests.delete(digest);
    }
  }
}
