import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, hexOf } from '../oci/digest.ts';
import type { Blob } from './content-index.ts';
import type { OpenFiles } from './open-files.ts';
import type { Reader, Source } from './store.ts';

/**
 * `<root>/blobs/sha256/<hex>`, as in OCI image-layout, "Blobs". containerd's content store has the
 * same layout.
 */
export function blobPath(root: string, digest: Digest): string {
  return join(root, 'blobs', 'sha256', hexOf(digest));
}

/** The size of a regular file in bytes; undefined for anything else. Rejects as `stat` does. */
export async function fileSize(path: string): Promise<number | undefined> {
  const stats = await stat(path);
  return stats.isFile() ? stats.size : undefined;
}

/** A complete blob in a file. */
export class FileSource implements Source {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string | undefined;
  readonly #path: string;
  readonly #files: OpenFiles;

  constructor(digest: Digest, blob: Blob, path: string, files: OpenFiles) {
    this.digest = digest;
    this.size = blob.size;
    this.mediaType = blob.mediaType;
    this.#path = path;
    this.#files = files;
  }

  open(signal: AbortSignal): Promise<Reader> {
    return this.#files.open(this.#path, this.size, signal);
  }
}
