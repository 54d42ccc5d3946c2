import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import { type FilterSettings, passes } from '../oci/filters.ts';
import { type Descriptor, MAX_MANIFEST_BYTES } from '../oci/manifest.ts';
import { tagKey } from '../oci/reference.ts';
import type { Blob, StoreState } from './content-index.ts';
import { blobPath, FileSource, fileSize } from './file-source.ts';
import { type LayoutEntry, parseLayoutIndex } from './layout-index.ts';
import type { ManifestCache } from './manifest-cache.ts';
import type { OpenFiles } from './open-files.ts';
import { type BlobLookup, collectReachable } from './reachable-blobs.ts';

/** `absent`: there is no index.json. `broken`: index.json is not an image index (yet). */
export type LayoutFinding = StoreState<Blob> | 'absent' | 'broken';

export interface LayoutParts {
  readonly manifests: ManifestCache;
  readonly files: OpenFiles;
  readonly log: Logger;
}

/**
 * Reads what an OCI image layout shares: the blobs that its index.json leads to and that are there.
 * An image with a full name must pass the filters. An image without one is always shared under its
 * digests: the administrator chose the directory, and filters match names only. Rejects when the
 * disk fails.
 */
export async function readLayout(
  root: string,
  filters: FilterSettings,
  parts: LayoutParts,
  signal: AbortSignal,
): Promise<LayoutFinding> {
  const text = await readIndex(root);
  if (text === undefined) return 'absent';
  const entries = parseLayoutIndex(text);
  if (entries === undefined) return 'broken';
  const blobs = new Map<Digest, Blob>();
  const store = blobLookup(root, parts, signal);
  for (const { name, target } of entries) {
    if (name === undefined || passes(filters, { ...name, tag: undefined })) {
      await collectReachable(store, target, blobs);
    }
  }
  parts.manifests.keep(blobs);
  const tags = entries.flatMap((entry) => tagOf(entry, filters));
  return { blobs, tags: new Map(tags) };
}

function tagOf({ name, target }: LayoutEntry, filters: FilterSettings): [string, Digest][] {
  if (name?.tag === undefined || !passes(filters, name)) return [];
  return [[tagKey(name.registry, name.repository, name.tag), target.digest]];
}

/**
 * The text of index.json, or undefined if there is none. Cuts a text that is too large for an
 * index, which makes it invalid.
 */
async function readIndex(root: string): Promise<string | undefined> {
  const file = await unlessAbsent(open(join(root, 'index.json'), 'r'));
  if (file === undefined) return undefined;
  try {
    const { size } = await file.stat();
    const buffer = Buffer.alloc(Math.min(size, MAX_MANIFEST_BYTES));
    const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

function blobLookup(root: string, parts: LayoutParts, signal: AbortSignal): BlobLookup<Blob> {
  return {
    blob: (descriptor) => layoutBlob(root, descriptor),
    // A manifest that cannot be read must not hide the other images.
    manifest: async (digest, blob) => {
      try {
        const find = async () => new FileSource(digest, blob, blobPath(root, digest), parts.files);
        return await parts.manifests.get(digest, find, signal);
      } catch (error) {
        signal.throwIfAborted();
        parts.log.warn('cannot read a manifest', { digest, error: messageOf(error) });
        return undefined;
      }
    },
  };
}

/**
 * The blob of a descriptor. A file of another size is still being written, or damaged: undefined.
 */
export async function layoutBlob(
  root: string,
  { digest, size, mediaType }: Descriptor,
): Promise<Blob | undefined> {
  const found = await unlessAbsent(fileSize(blobPath(root, digest)));
  return found === size ? { size, mediaType } : undefined;
}

/** Undefined for a file that is not there. Rejects as `found` does otherwise. */
export async function unlessAbsent<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}
