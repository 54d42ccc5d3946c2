import { ConcurrencyLimit } from '../base/concurrency-limit.ts';
import { KEPT_OPEN_MS, MAX_KEPT_OPEN, MAX_READS_AT_ONCE } from './constants.ts';
import { type FileUse, SharedFile } from './shared-file.ts';
import type { FileStretch, Reader } from './store.ts';

/**
 * Opens files for reading, and keeps them for the requests that follow: what was opened within
 * KEPT_OPEN_MS is neither looked for nor opened again.
 *
 * Each request asks the inode whether the file was deleted, replaced or changed meanwhile, which
 * takes no turn of the thread pool; then its path is opened again. What the inode does not tell,
 * such as another disk mounted over its directory, counts after KEPT_OPEN_MS. For so long, a
 * deleted file that nobody reads any more may hold its place on the disk.
 */
export class OpenFiles {
  /** By path, from the oldest to the newest. */
  readonly #kept = new Map<string, { readonly shared: SharedFile; readonly end: NodeJS.Timeout }>();
  readonly #keepMs: number;
  #isClosed = false;

  /** `keepMs` 0: a file is open while it is read, and no longer. */
  constructor(keepMs = KEPT_OPEN_MS) {
    this.#keepMs = keepMs;
  }

  /** The size of a regular file in bytes; undefined for anything else. Rejects as open(2) does. */
  async size(path: string): Promise<number | undefined> {
    const { status, release } = await this.#use(path);
    await release();
    return status.isRegular ? status.size : undefined;
  }

  /**
   * A reader of a file of `size` bytes. Rejects as open(2) does (ENOENT, EACCES), or with the
   * signal's reason.
   */
  async open(path: string, size: number, signal: AbortSignal): Promise<Reader> {
    signal.throwIfAborted();
    const use = await this.#use(path);
    if (!signal.aborted) return new FileReader(use, size);
    await use.release();
    throw signal.reason;
  }

  /** Keeps none from now on. A file with readers is closed with the last of them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#kept].map(([path, { shared }]) => this.#forget(path, shared)));
  }

  async #use(path: string): Promise<FileUse> {
    for (;;) {
      const shared = this.#kept.get(path)?.shared ?? this.#add(path);
      let use: FileUse | undefined;
      try {
        use = await shared.use();
        if (use !== undefined) return use;
      } finally {
        // Also a file that was deleted while it was opened: the next request must not find it.
        if (use === undefined || use.status.links === 0 || this.#isClosed)
          void this.#forget(path, shared);
      }
    }
  }

  #add(path: string): SharedFile {
    for (const [oldest, { shared }] of this.#kept) {
      if (this.#kept.size < MAX_KEPT_OPEN) break;
      void this.#forget(oldest, shared);
    }
    const shared = new SharedFile(path);
    const end = setTimeout(() => this.#forget(path, shared), this.#keepMs).unref();
    this.#kept.set(path, { shared, end });
    return shared;
  }

  /** Never rejects. */
  async #forget(path: string, shared: SharedFile): Promise<void> {
    const kept = this.#kept.get(path);
    if (kept?.shared === shared) {
      clearTimeout(kept.end);
      this.#kept.delete(path);
    }
    await shared.drop().catch(() => {});
  }
}

/** Of the process, as the pool of threads is. */
const reads = new ConcurrencyLimit(MAX_READS_AT_ONCE);

class FileReader implements Reader {
  #use: FileUse | undefined;
  readonly #size: number;

  constructor(use: FileUse, size: number) {
    this.#use = use;
    this.#size = size;
  }

  inFile(): FileStretch | undefined {
    return this.#use && { file: this.#use.file, end: this.#size };
  }

  /**
   * An abort does not cancel a read that is in the kernel. The read is awaited, because it still
   * writes to the buffer, which the caller reuses.
   */
  async read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const use = this.#use;
    if (use === undefined) throw new Error('reader is closed');
    const wanted = Math.min(buffer.byteLength, this.#size - position);
    if (wanted <= 0) return 0;
    const { bytesRead } = await reads.run(() => {
      // Its turn may come after the client has gone.
      signal.throwIfAborted();
      return use.file.read(buffer, 0, wanted, position);
    });
    signal.throwIfAborted();
    if (bytesRead === 0) throw new Error(`file ended at byte ${position} of ${this.#size}`);
    return bytesRead;
  }

  async close(): Promise<void> {
    const use = this.#use;
    this.#use = undefined;
    await use?.release();
  }
}
