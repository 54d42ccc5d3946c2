import { createHash } from 'node:crypto';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { hexOf } from '../../oci/digest.ts';
import { blobPath } from '../../store/file-source.ts';
import { COMMIT_MS, HASH_SLICE_BYTES, URGENT_COMMIT_MS } from './constants.ts';
import { type Ingest, unlessMissing } from './ingest.ts';

/**
 * What became of an ingest. `good`: it is a blob, or it was discarded with the right bytes. `bad`:
 * it is full and its bytes are wrong. `ended`: it was discarded before it was full, which says
 * nothing about its bytes. `open`: not decided yet.
 */
export type IngestOutcome = 'open' | 'good' | 'bad' | 'ended';

/** An ingest with all of its bytes. */
interface Full {
  readonly size: number;
  /** A time of `performance.now()`. */
  readonly since: number;
  hashing: Promise<void> | undefined;
  /** Undefined until it is hashed. */
  isRight: boolean | undefined;
  failure: unknown;
}

/**
 * An ingest that is watched until it is a blob or is gone. Keeps its file open: containerd removes
 * a failed ingest within half a second, and its bytes can still be read then.
 */
export class JudgedIngest {
  readonly root: string;
  readonly ingest: Ingest;
  readonly #blobPath: string;
  readonly #file: FileHandle;
  #full: Full | undefined;

  private constructor(root: string, ingest: Ingest, file: FileHandle) {
    this.root = root;
    this.ingest = ingest;
    this.#blobPath = blobPath(root, ingest.digest);
    this.#file = file;
  }

  /** Undefined if it is gone or this process may not read it. Rejects when the disk fails. */
  static async open(root: string, ingest: Ingest): Promise<JudgedIngest | undefined> {
    const file = await unlessMissing(open(ingest.dataPath, 'r'));
    return file && new JudgedIngest(root, ingest, file);
  }

  /** True if all bytes are there and nothing shows that they are right. */
  get isInDoubt(): boolean {
    return this.#full !== undefined && this.#full.isRight !== true;
  }

  /** True if it is in doubt for longer than a commit takes. */
  get isOverdue(): boolean {
    const { since } = this.#full ?? { since: Number.POSITIVE_INFINITY };
    return this.isInDoubt && performance.now() - since >= COMMIT_MS;
  }

  /**
   * Looks at the files once. `isUrgent`: a request waits for the outcome. Hashes the file only if
   * it is full and does not become a blob. The hash of a large file goes on after this call.
   * Rejects when the disk fails.
   */
  async look(isUrgent: boolean): Promise<IngestOutcome> {
    const { size, nlink, ino, dev, mtimeMs } = await this.#file.stat();
    // Looks for the blob after the ingest. One that is committed in between is found here.
    const blob = await unlessMissing(stat(this.#blobPath));
    if (blob?.ino === ino && blob.dev === dev) return 'good';
    const { total } = this.ingest;
    if (total === undefined || size < total) {
      this.#full = undefined;
      return nlink === 0 ? 'ended' : 'open';
    }
    const full = this.#fullOf(size, mtimeMs);
    const graceMs = isUrgent ? URGENT_COMMIT_MS : COMMIT_MS;
    if (full.hashing === undefined && nlink > 0 && performance.now() - full.since < graceMs) {
      return 'open';
    }
    full.hashing ??= this.#judge(full);
    if (size <= HASH_SLICE_BYTES) await full.hashing;
    if (full.failure !== undefined) throw full.failure;
    if (full.isRight === false) return 'bad';
    return full.isRight && nlink === 0 ? 'good' : 'open';
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** A file that has grown after it was hashed is hashed again. */
  #fullOf(size: number, mtimeMs: number): Full {
    if (this.#full?.size !== size) {
      // An ingest that an earlier pull left behind is full since its last write.
      const since = performance.now() - Math.max(0, Date.now() - mtimeMs);
      this.#full = { size, since, hashing: undefined, isRight: undefined, failure: undefined };
    }
    return this.#full;
  }

  /** Hashes the file. Never rejects. */
  async #judge(full: Full): Promise<void> {
    try {
      full.isRight = await this.#matchesDigest(full.size);
    } catch (error) {
      full.failure = error;
    }
  }

  /** Undefined if the file shrinks meanwhile: then it is a new download. */
  async #matchesDigest(size: number): Promise<boolean | undefined> {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(Math.min(size, HASH_SLICE_BYTES));
    for (let position = 0; position < size; ) {
      const wanted = Math.min(buffer.byteLength, size - position);
      const { bytesRead } = await this.#file.read(buffer, 0, wanted, position);
      if (bytesRead === 0) return undefined;
      hash.update(buffer.subarray(0, bytesRead));
      position += bytesRead;
    }
    return hash.digest('hex') === hexOf(this.ingest.digest);
  }
}
