import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../base/errors.ts';
import { type Digest, digestOf, hexOf, isDigest } from '../../oci/digest.ts';
import { BEGIN_TICK_MS } from './constants.ts';

/** A ref is a namespace (at most 76 characters), a number and a key; what is longer is no download of a blob. */
const MAX_REF_BYTES = 4_096;

/** The size in decimal digits. */
const MAX_TOTAL_BYTES = 32;

/** `<namespace>/<n>/<kind>-<digest>`; n is a counter of containerd's database, so nobody can derive it. */
const REF = /^([^/]+)\/\d+\/[^/]*-(sha256:[0-9a-f]{64})$/;

/** What `data` looked like. */
export interface IngestState {
  /** Bytes that are in the file. */
  readonly size: number;
  /** Milliseconds since 1970 of the last write. */
  readonly mtimeMs: number;
}

/**
 * A download of containerd on its way into the content store: the directory `ingest/<hash>/` with the files
 * `ref`, `startedat`, `total`, `updatedat` and `data`. Knows since when it has not grown, over all who look at it.
 */
export class Ingest {
  readonly dir: string;
  readonly namespace: string;
  readonly digest: Digest;
  /** Bytes that it will have; undefined before the first look, and for a download whose size nobody knew. */
  total: number | undefined;
  #size: number | undefined;
  /** Times of `performance.now()`: of the last look, and of the last growth that is known of. */
  #lookedAt = 0;
  #grewAt = 0;

  private constructor(dir: string, namespace: string, digest: Digest) {
    this.dir = dir;
    this.namespace = namespace;
    this.digest = digest;
  }

  /** The download in a directory; undefined when there is none of a blob, or not yet. Rejects when the disk fails. */
  static async read(root: string, name: string): Promise<Ingest | undefined> {
    const dir = join(root, 'ingest', name);
    const ref = await readSmall(join(dir, 'ref'), MAX_REF_BYTES);
    // The directory's name is the ref's hash: one that is only half written does not match.
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

  /** Milliseconds without growth until the last look; a file that is seen for the first time tells by its mtime. */
  get stalledMs(): number {
    return this.#lookedAt - this.#grewAt;
  }

  /** When it grew last, as far as is known: a time of `performance.now()`. */
  get grewAt(): number {
    return this.#grewAt;
  }

  /** True when nothing was written since the writer was closed: the pull has failed or was cancelled. */
  async isAbandoned(mtimeMs: number): Promise<boolean> {
    const [started, closed] = await Promise.all(
      ['startedat', 'updatedat'].map((name) => unlessMissing(stat(join(this.dir, name)))),
    );
    if (started === undefined || closed === undefined) return false;
    if (closed.mtimeMs !== mtimeMs) return closed.mtimeMs > mtimeMs;
    // A close often comes with the last bytes, in one tick of the clock; so may the first bytes with the beginning.
    return closed.mtimeMs - started.mtimeMs > BEGIN_TICK_MS;
  }

  /** Looks at the file; undefined when it is not there or not for us to read. Rejects when the disk fails. */
  async look(): Promise<IngestState | undefined> {
    const look = await withFile(this.dataPath, (file) => file.stat());
    // containerd writes `total` before it creates `data`, and only if it knows the size.
    if (look !== undefined) {
      this.total ??= await readTotal(join(this.dir, 'total'));
      this.observe(look);
    }
    return look;
  }

  /** What somebody has just seen. Growth counts from the write itself, but from the look before it at the earliest. */
  observe({ size, mtimeMs }: IngestState): void {
    const now = performance.now();
    // A clock that was set back makes files of the future: those count from now on.
    const wroteAt = now - Math.max(0, Date.now() - mtimeMs);
    // One that is smaller began anew: the same directory is used again when the old one was thrown away.
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

/** A file's text; undefined when it is longer than `max` bytes, not there or not for us. */
function readSmall(path: string, max: number): Promise<string | undefined> {
  return withFile(path, async (file) => {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(max + 1), 0, max + 1, 0);
    return bytesRead > max ? undefined : buffer.toString('latin1', 0, bytesRead);
  });
}

/** Runs `use` on a file; undefined when it is not there or not for us to read. Rejects when the disk fails. */
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

/** Undefined instead of a rejection for what is not there, or not for us: the gRPC API does not give these bytes either. */
export async function unlessMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}
