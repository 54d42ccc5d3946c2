import type { Digest } from '../oci/digest.ts';
import type { Descriptor, Manifest } from '../oci/manifest.ts';
import { isManifestType } from '../oci/media-types.ts';
import { MAX_INDEX_DEPTH } from './constants.ts';
import type { Blob } from './content-index.ts';

/** Finds blobs and manifests in a store. Both methods reject when the store cannot be read. */
export interface BlobLookup<B extends Blob> {
  /** The blob of a descriptor, if it is here. */
  blob(descriptor: Descriptor): Promise<B | undefined>;
  /** The parsed manifest, or undefined if the blob is not a manifest. */
  manifest(digest: Digest, blob: B): Promise<Manifest | undefined>;
}

/**
 * Collects into `found` the blobs that are reachable from `target` and are here. Of an image with
 * several platforms only the pulled ones are here.
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
