import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../base/errors.ts';
import { type Digest, digestOf, hexOf, isDigest } from '../../oci/digest.ts';
import { BEGIN_TICK_MS } from './constants.ts';

/**
 * Largest `ref`: a namespace (at most 76 characters), a number and a key. A longer one is not the
 * ref of a blob.
 */
const MAX_REF_BYTES = 4_096;

/** Largest `total`: decimal digits. */
const MAX_TOTAL_BYTES = 32;

/**
 * `<namespace>/<n>/<kind>-<digest>`. n is a counter of containerd's database, so the name of the
 * directory cannot be derived from a digest.
 */
const REF = /^([^/]+)\/\d+\/[^/]*-(sha256:[0-9a-f]{64})$/;

/** The file `data` of an ingest at one moment. */
export interface IngestState {
  /** Bytes in the file. */
  readonly size: number;
  /** Time of the last write, in milliseconds since 1970. */
  readonly mtimeMs: number;
}

/**
 * Content that containerd is downloading: the directory `ingest/<hash>/` with the files `ref`,
 * `startedat`, `total`, `updatedat` and `data`. Remembers when it last grew, whichever part of this
 * process looked.
 */
export class Ingest {
  readonly dir: string;
  readonly namespace: string;
  readonly digest: Digest;
  /**
   * Final size in bytes. Undefined before the first look, and if containerd does not know the size.
   */
  total: number | undefined;
  #size: number | undefined;
  /** Times of `performance.now()`: of the last look, and of the last known growth. */
  #lookedAt = 0;
  #grewAt = 0;

  private constructor(dir: string, namespace: string, digest: Digest) {
    this.dir = dir;
    this.namespace = namespace;
    this.digest = digest;
  }

  /**
   * Reads the ingest in a directory. Undefined if it is not the ingest of a blob, or not yet.
   * Rejects when the disk fails.
   */
  static async read(root: string, name: string): Promise<Ingest | undefined> {
    const dir = join(root, 'ingest', name);
    const ref = await readSmall(join(dir, 'ref'), MAX_REF_BYTES);
    // The directory is named by the hash of the ref, so a half written ref does not match.
    if (ref === undefined || hexOf(digestOf(Buffer.from(ref))) !== name) return undefined;
    const [, namespace = '', digest = ''] = REF.exec(ref) ?? [];
    return isDigest(digest) ? new Ingest(dir, namespace, digest) : undefined;
  }

  get dataPath(): string {
    return join(this.dir, 'data');
  }

  /** Bytes at the last look. */
  get size(): number {
    return this.#size ?? 0;
  }

  get isFull(): boolean {
    return this.total !== undefined && this.size >= this.total;
  }

  /**
   * Milliseconds without growth until the last look. The first look takes the mtime of the file.
   */
  get stalledMs(): number {
    return this.#lookedAt - this.#grewAt;
  }

  /** When it last grew, as far as is known: a time of `performance.now()`. */
  get grewAt(): number {
    return this.#grewAt;
  }

  /**
   * True if nothing was written after the writer was closed: the pull has failed or was cancelled.
   */
  async isAbandoned(mtimeMs: number): Promise<boolean> {
    const [started, closed] = await Promise.all(
      ['startedat', 'updatedat'].map((name) => unlessMissing(stat(join(this.dir, name)))),
    );
    if (started === undefined || closed === undefined) return false;
    if (closed.mtimeMs !== mtimeMs) return closed.mtimeMs > mtimeMs;
    // A close often has the time of the last bytes, and the first bytes have the time of the
    // beginning. Equal times are a close only if the ingest began earlier.
    return closed.mtimeMs - started.mtimeMs > BEGIN_TICK_MS;
  }

  /**
   * Looks at the file. Undefined if it is not there or this process may not read it. Rejects when
   * the disk fails.
   */
  async look(): Promise<IngestState | undefined> {
    const look = await withFile(this.dataPath, (file) => file.stat());
    // containerd writes `total` before `data`, and only if it knows the size.
    if (look !== undefined) {
      this.total ??= await readTotal(join(this.dir, 'total'));
      this.observe(look);
    }
    return look;
  }

  /**
   * Takes the result of a look by any part. Growth counts from the write, but not from before the
   * last look.
   */
  observe({ size, mtimeMs }: IngestState): void {
    const now = performance.now();
    // A clock that was set back makes times of the future. They count as now.
    const wroteAt = now - Math.max(0, Date.now() - mtimeMs);
    // A smaller file is a new download. containerd uses the same directory again after a discard.
    if (this.#size === undefined || size < this.#size) this.#grewAt = wroteAt;
    else if (size > this.#size) this.#grewAt = Math.max(wroteAt, this.#lookedAt);
    this.#size = size;
    this.#lookedAt = now;
  }
}

async function readTotal(path: string): Promise<number | undefined> {
  const text = await readSmall(path, MAX_TOTAL_BYTES);
  if (text === undefined || !/^\d+$/.test(text)) return undefined;
  const total = Number(text);
  return Number.isSafeInteger(total) && total > 0 ? total : undefined;
}

/**
 * The text of a file. Undefined if it is longer than `max` bytes, is not there, or may not be read.
 */
function readSmall(path: string, max: number): Promise<string | undefined> {
  return withFile(path, async (file) => {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(max + 1), 0, max + 1, 0);
    return bytesRead > max ? undefined : buffer.toString('latin1', 0, bytesRead);
  });
}

/**
 * Runs `use` on a file. Undefined if the file is not there or may not be read. Rejects when the
 * disk fails.
 */
async function withFile<T>(
  path: string,
  use: (file: FileHandle) => Promise<T>,
): Promise<T | undefined> {
  const file = await unlessMissing(open(path, 'r'));
  if (file === undefined) return undefined;
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/**
 * Undefined instead of a rejection if a file is not there or may not be read. There is no second
 * way: the gRPC API does not give the bytes of an ingest.
 */
export async function unlessMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}
