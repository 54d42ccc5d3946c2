import { createHash } from 'node:crypto';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { hexOf } from '../oci/digest.ts';
import { blobPath } from '../store/file-source.ts';
import { type Ingest, unlessMissing } from './ingest.ts';

/**
 * What became of an ingest: `good` it is the blob, or it was thrown away with the right bytes;
 * `bad` it is full of wrong bytes; `ended` it went before it was full, which says nothing of the
 * bytes; `open` none of these yet.
 */
export type Outcome = 'open' | 'good' | 'bad' | 'ended';

/** A full ingest that is no blob after this time is hashed: its commit waits for the disk, or has failed. */
const COMMIT_MS = 1_000;

/** The same, where somebody waits for the outcome. */
const URGENT_COMMIT_MS = 100;

const SLICE_BYTES = 1024 * 1024;

/**
 * An ingest that is watched until it is a blob, or is none. It is held open: containerd collects
 * what failed within half a second, and its bytes can be read all the same.
 */
export class JudgedIngest {
  readonly ingest: Ingest;
  readonly #blob: string;
  readonly #file: FileHandle;
  #fullAt: number | undefined;
  #hashed: Promise<boolean> | undefined;
  #isRight = false;

  private constructor(ingest: Ingest, blob: string, file: FileHandle) {
    this.ingest = ingest;
    this.#blob = blob;
    this.#file = file;
  }

  /** Undefined when it is gone, or not for us to read. Rejects when the disk fails. */
  static async open(root: string, ingest: Ingest): Promise<JudgedIngest | undefined> {
    const file = await unlessMissing(open(ingest.dataPath, 'r'));
    return file && new JudgedIngest(ingest, blobPath(root, ingest.digest), file);
  }

  /** All bytes are there, and what became of them is not known. */
  get isInDoubt(): boolean {
    return this.#fullAt !== undefined && !this.#isRight;
  }

  /**
   * Looks once. `isUrgent`: somebody waits. The file is hashed only when it is full and no blob
   * comes. Rejects when the disk fails.
   */
  async look(isUrgent: boolean): Promise<Outcome> {
    const { size, nlink, ino, dev } = await this.#file.stat();
    // After the file: one that is renamed in between is found.
    const blob = await unlessMissing(stat(this.#blob));
    if (blob?.ino === ino && blob.dev === dev) return 'good';
    const { total } = this.ingest;
    if (total === undefined || size < total) {
      this.#fullAt = undefined;
      return nlink === 0 ? 'ended' : 'open';
    }
    const now = performance.now();
    this.#fullAt ??= now;
    const graceMs = isUrgent ? URGENT_COMMIT_MS : COMMIT_MS;
    if (this.#hashed === undefined && nlink > 0 && now - this.#fullAt < graceMs) return 'open';
    this.#hashed ??= this.#hash(size);
    this.#isRight = await this.#hashed;
    if (!this.#isRight) return 'bad';
    return nlink === 0 ? 'good' : 'open';
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #hash(size: number): Promise<boolean> {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(Math.min(size, SLICE_BYTES));
    for (let position = 0; position < size; ) {
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.byteLength, position);
      if (bytesRead === 0) return false;
      hash.update(buffer.subarray(0, bytesRead));
      position += bytesRead;
    }
    return hash.digest('hex') === hexOf(this.ingest.digest);
  }
}
