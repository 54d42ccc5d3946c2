import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, hexOf } from '../oci/digest.ts';
import type { Blob } from './content-index.ts';
import type { FileStretch, Reader, Source } from './store.ts';

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

  constructor(digest: Digest, blob: Blob, path: string) {
    this.digest = digest;
    this.size = blob.size;
    this.mediaType = blob.mediaType;
    this.#path = path;
  }

  open(signal: AbortSignal): Promise<Reader> {
    return openFile(this.#path, this.size, signal);
  }
}

/**
 * Opens a file of `size` bytes. Rejects as `open` does (ENOENT, EACCES), or with the signal's
 * reason. Closes a descriptor that arrives after the abort.
 */
export async function openFile(path: string, size: number, signal: AbortSignal): Promise<Reader> {
  signal.throwIfAborted();
  const file = await open(path, 'r');
  if (signal.aborted) {
    await file.close();
    signal.throwIfAborted();
  }
  return new FileReader(file, size);
}

class FileReader implements Reader {
  readonly #file: FileHandle;
  readonly #size: number;
  #closing: Promise<void> | undefined;

  constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.#size = size;
  }

  inFile(): FileStretch {
    return { file: this.#file, end: this.#size };
  }

  /**
   * An abort does not cancel a read that is in the kernel. The read is awaited, because it still
   * writes to the buffer, which the caller reuses.
   */
  async read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const wanted = Math.min(buffer.byteLength, this.#size - position);
    if (wanted <= 0) return 0;
    const { bytesRead } = await this.#file.read(buffer, 0, wanted, position);
    signal.throwIfAborted();
    if (bytesRead === 0) throw new Error(`file ended at byte ${position} of ${this.#size}`);
    return bytesRead;
  }

  close(): Promise<void> {
    this.#closing ??= this.#file.close();
    return this.#closing;
  }
}
