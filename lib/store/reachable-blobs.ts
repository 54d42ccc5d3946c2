import type { Digest } from '../oci/digest.ts';
import type { Descriptor, Manifest } from '../oci/manifest.ts';
import { isManifestType } from '../oci/media-types.ts';
import { MAX_INDEX_DEPTH } from './constants.ts';
import type { Blob } from './content-index.ts';

/** A store as seen by a walk. Both reject when the store cannot be read. */
export interface BlobLookup<B extends Blob> {
  /** What the descriptor names, if it is here. */
  blob(descriptor: Descriptor): Promise<B | undefined>;
  /** The manifest that the blob is, or undefined when it is none. */
  manifest(digest: Digest, blob: B): Promise<Manifest | undefined>;
}

/**
 * Collects into `found` what is reachable from `target` and here: of an image of several platforms only what
 * was pulled is here.
 */
export async function collectReachable<B extends Blob>(
  store: BlobLookup<B>,
  target: Descriptor,
  found: Map<Digest, B>,
  depth = 0,
): Promise<void> {
  if (depth >= MAX_INDEX_DEPTH || found.get(target.digest)?.mediaType !== undefined) return;
  const blob = await store.blob(target);
  if (blob === undefined) return;
  found.set(target.digest, blob);
  if (!isManifestType(target.mediaType)) return;
  const manifest = await store.manifest(target.digest, blob);
  for (const child of manifest?.children ?? [])
    await collectReachable(store, child, found, depth + 1);
}
