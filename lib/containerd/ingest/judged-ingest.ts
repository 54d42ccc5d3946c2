import { createHash } from 'node:crypto';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { hexOf } from '../../oci/digest.ts';
import { blobPath } from '../../store/file-source.ts';
import { COMMIT_MS, HASH_SLICE_BYTES, URGENT_COMMIT_MS } from './constants.ts';
import { type Ingest, unlessMissing } from './ingest.ts';

/**
 * What became of an ingest: `good` it is the blob, or it was thrown away with the right bytes;
 * `bad` it is full of wrong bytes; `ended` it went before it was full, which says nothing of the
 * bytes; `open` none of these yet.
 */
export type IngestOutcome = 'open' | 'good' | 'bad' | 'ended';

/** All bytes are there, so many. */
interface Full {
  readonly size: number;
  /** Time of `performance.now()`. */
  readonly since: number;
  hashing: Promise<void> | undefined;
  /** Undefined while it is not known. */
  isRight: boolean | undefined;
  failure: unknown;
}

/**
 * An ingest that is watched until it is a blob, or is none. It is held open: containerd collects
 * what failed within half a second, and its bytes can be read all the same.
 */
export class JudgedIngest {
  readonly root: string;
  readonly ingest: Ingest;
  readonly #blob: string;
  readonly #file: FileHandle;
  #full: Full | undefined;

  private constructor(root: string, ingest: Ingest, file: FileHandle) {
    this.root = root;
    this.ingest = ingest;
    this.#blob = blobPath(root, ingest.digest);
    this.#file = file;
  }

  /** Undefined when it is gone, or not for us to read. Rejects when the disk fails. */
  static async open(root: string, ingest: Ingest): Promise<JudgedIngest | undefined> {
    const file = await unlessMissing(open(ingest.dataPath, 'r'));
    return file && new JudgedIngest(root, ingest, file);
  }

  /** All bytes are there, and what became of them is not known. */
  get isInDoubt(): boolean {
    return this.#full !== undefined && this.#full.isRight !== true;
  }

  /** It is in doubt for longer than a commit takes. */
  get isOverdue(): boolean {
    const { since } = this.#full ?? { since: Number.POSITIVE_INFINITY };
    return this.isInDoubt && performance.now() - since >= COMMIT_MS;
  }

  /**
   * Looks once. `isUrgent`: somebody waits. The file is hashed only when it is full and no blob
   * comes; that of a large one goes on after this has answered. Rejects when the disk fails.
   */
  async look(isUrgent: boolean): Promise<IngestOutcome> {
    const { size, nlink, ino, dev, mtimeMs } = await this.#file.stat();
    // After the file: one that is renamed in between is found.
    const blob = await unlessMissing(stat(this.#blob));
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

  /** One that has grown beyond what was hashed is another one. */
  #fullOf(size: number, mtimeMs: number): Full {
    if (this.#full?.size !== size) {
      // One that a pull of long ago has left behind is full for as long as that.
      const since = performance.now() - Math.max(0, Date.now() - mtimeMs);
      this.#full = { size, since, hashing: undefined, isRight: undefined, failure: undefined };
    }
    return this.#full;
  }

  /** Never rejects. */
  async #judge(full: Full): Promise<void> {
    try {
      full.isRight = await this.#hashesRight(full.size);
    } catch (error) {
      full.failure = error;
    }
  }

  /** Undefined when it has shrunk meanwhile: it begins anew. */
  async #hashesRight(size: number): Promise<boolean | undefined> {
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
