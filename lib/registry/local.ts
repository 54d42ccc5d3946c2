import type { Logger } from '../base/log.ts';
import type { Body } from '../http/body.ts';
import { BufferPool } from '../http/buffers.ts';
import { SERVE_BUFFERS } from '../http/constants.ts';
import { type ByteReader, FileBody } from '../http/file-body.ts';
import { Multipart } from '../http/multipart.ts';
import { type ByteRange, resolveRange, resolveRanges } from '../http/ranges.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES, type Manifest, parseManifest } from '../oci/manifest.ts';
import { contentTypeOf, OCTET_STREAM } from '../oci/media-types.ts';
import { readAllBytes } from '../store/read-all-bytes.ts';
import type { ContentStore, Source } from '../store/store.ts';
import type { BlobSelection } from './call.ts';
import type { AdmitBytes } from './manifest-budget.ts';

export interface LocalManifest {
  readonly digest: Digest;
  readonly content: Buffer;
  readonly mediaType: string;
  /** What it points to; undefined for a type that we do not know. */
  readonly manifest: Manifest | undefined;
}

export interface LocalBlob {
  /** Size of the whole blob in bytes. */
  readonly size: number;
  readonly mediaType: string;
  /** What the body holds, or the first part of it; undefined: the range cannot be satisfied. */
  readonly range: ByteRange | undefined;
  /** What the body is, when it holds several ranges. */
  readonly multipart: Multipart | undefined;
  /** The first piece is here. The caller closes it. Undefined for HEAD or without a range. */
  readonly body: Body | undefined;
}

/**
 * The store as the registry uses it: whatever fails or hangs is not here. A miss costs containerd a request
 * elsewhere; waiting for a disk that does not answer would cost it the pull.
 */
export class LocalContent {
  readonly #store: ContentStore;
  readonly #log: Logger;
  readonly #buffers = new BufferPool(SERVE_BUFFERS);
  #hungUntil = 0;

  constructor(parts: { readonly store: ContentStore; readonly log: Logger }) {
    this.#store = parts.store;
    this.#log = parts.log;
  }

  /** `target` is a digest, or a tag's key. What `admit` refuses is not here. */
  manifest(
    target: string,
    isTag: boolean,
    signal: AbortSignal,
    admit: AdmitBytes,
  ): Promise<LocalManifest | undefined> {
    return this.#inTime(signal, async (inTime) => {
      const digest = isTag ? await this.#store.resolve(target, inTime) : (target as Digest);
      return digest && this.#readManifest(digest, inTime, admit);
    });
  }

  /**
   * Opens a blob and waits for its first piece; HEAD looks only. A manifest is no blob, and what
   * would have to be read to tell, and `admit` refuses, is none either.
   */
  blob(
    digest: Digest,
    selection: BlobSelection,
    signal: AbortSignal,
    admit: AdmitBytes,
  ): Promise<LocalBlob | undefined> {
    const open = async (inTime: AbortSignal): Promise<LocalBlob | undefined> => {
      const source = await this.#store.source(digest, inTime);
      if (source === undefined || (await this.#isManifest(source, inTime, admit))) return undefined;
      const { size } = source;
      const mediaType = contentTypeOf(source.mediaType);
      const ranges = rangesOf(selection, size);
      const [range] = ranges;
      const multipart = ranges.length > 1 ? new Multipart(ranges, size, mediaType) : undefined;
      const found = { size, mediaType, range, multipart };
      if (selection.isHead || range === undefined) return { ...found, body: undefined };
      return { ...found, body: await this.#open(source, range, multipart, inTime) };
    };
    return this.#inTime(signal, open, (blob) => blob?.body?.close());
  }

  /**
   * A registry has manifests under their own path only. containerd, told there that nobody has it, asks for a blob of
   * that digest, and would keep what it gets as an image whose manifest is of no known type.
   */
  async #isManifest(source: Source, signal: AbortSignal, admit: AdmitBytes): Promise<boolean> {
    if (!(await mayBeManifest(source, signal))) return false;
    if (!admit(source.size)) return true;
    return parseManifest(await readAllBytes(source, MAX_MANIFEST_BYTES, signal)) !== undefined;
  }

  async #open(
    source: Source,
    range: ByteRange,
    multipart: Multipart | undefined,
    signal: AbortSignal,
  ): Promise<Body> {
    const reader = await source.open(signal);
    const open = (part: ByteRange) => new FileBody(lend(reader), part, this.#buffers, signal);
    const first = open(range);
    const parts = multipart?.body(first, open) ?? first;
    const close = () => {
      parts.close();
      // As in FileBody: there is nobody to tell.
      reader.close().catch(() => {});
    };
    const body: Body = { next: () => parts.next(), close };
    // A disk that hangs does not even reject; nobody uses the body yet.
    const onAbort = () => body.close();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await first.ready();
      signal.throwIfAborted();
      return body;
    } catch (error) {
      body.close();
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #readManifest(
    digest: Digest,
    signal: AbortSignal,
    admit: AdmitBytes,
  ): Promise<LocalManifest | undefined> {
    const source = await this.#store.source(digest, signal);
    // A layer of 4 MiB that somebody asks for as a manifest would be read and hashed.
    if (source === undefined || !(await mayBeManifest(source, signal))) return undefined;
    if (!admit(source.size)) return undefined;
    const content = await readAllBytes(source, MAX_MANIFEST_BYTES, signal);
    if (digestOf(content) !== digest) throw new Error(`the bytes of ${digest} have another digest`);
    const manifest = parseManifest(content);
    // A store that met it under a name for bytes (octet-stream) does not know better than the document.
    const mediaType = manifest?.mediaType ?? source.mediaType;
    // Any text can be in a descriptor: one with a line end in it is no header.
    const isType = contentTypeOf(mediaType) !== OCTET_STREAM;
    return isType ? { digest, content, mediaType: contentTypeOf(mediaType), manifest } : undefined;
  }

  /** The signal that `work` gets stays good for what it returns; it is aborted when time is up. */
  async #inTime<T>(
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T | undefined>,
    discard: (late: T | undefined) => void = () => {},
  ): Promise<T | undefined> {
    const late = new AbortController();
    const tooLate = Promise.withResolvers<'late'>();
    const patience = performance.now() < this.#hungUntil ? HUNG_MS : LOCAL_MS;
    const timer = setTimeout(() => tooLate.resolve('late'), patience);
    const working = work(AbortSignal.any([signal, late.signal]));
    try {
      const found = await Promise.race([working, tooLate.promise]);
      if (found !== 'late') return found;
    } catch (error) {
      if (!signal.aborted) this.#log.warn('local content failed', { error });
      return undefined;
    } finally {
      clearTimeout(timer);
    }
    this.#hungUntil = performance.now() + HUNG_FOR_MS;
    // While it hangs each request comes here: one line says it, not one for each.
    if (patience === LOCAL_MS)
      this.#log.warn('local content does not answer', { waitedMs: patience });
    late.abort();
    working.then(discard).catch(() => {});
    return undefined;
  }
}

/** What a request means in content of `size` bytes; empty: it cannot be satisfied. */
function rangesOf({ spec, several }: BlobSelection, size: number): readonly ByteRange[] {
  if (several !== undefined) return resolveRanges(several, size);
  const range = spec === undefined ? { start: 0, end: size } : resolveRange(spec, size);
  return range === undefined ? [] : [range];
}

/**
 * For one of several bodies that read in turn: a layer that is deleted meanwhile stays readable to
 * the last.
 */
function lend(reader: ByteReader): ByteReader {
  const read: ByteReader['read'] = (...how) => reader.read(...how);
  return { read, close: async () => {} };
}

const BRACE = 0x7b;

/**
 * Whether a source has to be read to tell if it is a manifest. A layer of up to 4 MiB is not read
 * for that: the index knows its type, or it does not begin as JSON does. That an image calls a
 * layer a manifest makes none of it.
 */
async function mayBeManifest(source: Source, signal: AbortSignal): Promise<boolean> {
  const { mediaType, size } = source;
  if (size === 0 || size > MAX_MANIFEST_BYTES) return false;
  // Registries may keep manifests of types that we do not know.
  const isOther = mediaType !== OCTET_STREAM && mediaType?.match(/manifest|index/) === null;
  return !isOther && beginsAsJson(source, signal);
}

async function beginsAsJson(source: Source, signal: AbortSignal): Promise<boolean> {
  const reader = await source.open(signal);
  try {
    const begin = Buffer.alloc(1);
    await reader.read(begin, 0, signal);
    return begin[0] === BRACE;
  } finally {
    await reader.close();
  }
}

/** A disk that spins up, or a store with thousands of images, takes less. */
const LOCAL_MS = 500;

/** A store that hung is given less time for a while: a pull of 60 layers must not wait 60 times. */
const HUNG_MS = 50;
const HUNG_FOR_MS = 10_000;
