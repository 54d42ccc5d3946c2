import type { Logger } from '../base/log.ts';
import { BufferPool, SERVE_BUFFER_BYTES } from '../http/buffers.ts';
import { FileBody } from '../http/file-body.ts';
import { type ByteRange, type RangeSpec, resolveRange } from '../http/ranges.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES, type Manifest, parseManifest } from '../oci/manifest.ts';
import { isManifestType, OCTET_STREAM } from '../oci/media-types.ts';
import { readWhole } from '../store/read-whole.ts';
import type { ContentStore, Source } from '../store/store.ts';

export interface LocalManifest {
  readonly digest: Digest;
  readonly content: Buffer;
  readonly mediaType: string;
  /** What it points to; undefined for a type that we do not know. */
  readonly manifest: Manifest | undefined;
}

export interface LocalBlob {
  readonly source: Source;
  /** What the body holds; undefined: the range cannot be satisfied. */
  readonly range: ByteRange | undefined;
  /** The first piece is here. The caller closes it. Undefined for HEAD or without a range. */
  readonly body: FileBody | undefined;
}

/**
 * The store as the registry uses it: whatever fails or hangs is not here. A miss costs containerd a request
 * elsewhere; waiting for a disk that does not answer would cost it the pull.
 */
export class LocalContent {
  readonly #store: ContentStore;
  readonly #log: Logger;
  readonly #buffers = new BufferPool(SERVE_BUFFER_BYTES);
  #hungUntil = 0;

  constructor(parts: { readonly store: ContentStore; readonly log: Logger }) {
    this.#store = parts.store;
    this.#log = parts.log;
  }

  /** `target` is a digest, or a tag's key. */
  manifest(
    target: string,
    isTag: boolean,
    signal: AbortSignal,
  ): Promise<LocalManifest | undefined> {
    return this.#inTime(signal, async (inTime) => {
      const digest = isTag ? await this.#store.resolve(target, inTime) : (target as Digest);
      return digest && this.#readManifest(digest, inTime);
    });
  }

  /** Opens a blob and waits for its first piece; `isHead` looks only. A manifest is no blob. */
  blob(
    digest: Digest,
    spec: RangeSpec | undefined,
    isHead: boolean,
    signal: AbortSignal,
  ): Promise<LocalBlob | undefined> {
    const open = async (inTime: AbortSignal): Promise<LocalBlob | undefined> => {
      const source = await this.#store.source(digest, inTime);
      if (source === undefined || (await this.#isManifest(source, inTime))) return undefined;
      const whole = { start: 0, end: source.size };
      const range = spec === undefined ? whole : resolveRange(spec, source.size);
      if (isHead || range === undefined) return { source, range, body: undefined };
      return { source, range, body: await this.#open(source, range, inTime) };
    };
    return this.#inTime(signal, open, (blob) => blob?.body?.close());
  }

  /**
   * A registry has manifests under their own path only. containerd, told there that nobody has it, asks for a blob of
   * that digest, and would keep what it gets as an image whose manifest is of no known type.
   */
  async #isManifest(source: Source, signal: AbortSignal): Promise<boolean> {
    const { mediaType, size } = source;
    if (isManifestType(mediaType)) return true;
    const isTyped = mediaType !== undefined && mediaType !== OCTET_STREAM;
    if (isTyped || size === 0 || size > MAX_MANIFEST_BYTES) return false;
    if (!(await beginsAsJson(source, signal))) return false;
    return parseManifest(await readWhole(source, MAX_MANIFEST_BYTES, signal)) !== undefined;
  }

  async #open(source: Source, range: ByteRange, signal: AbortSignal): Promise<FileBody> {
    const body = new FileBody(await source.open(signal), range, this.#buffers, signal);
    // A disk that hangs does not even reject; nobody uses the body yet.
    const onAbort = () => body.close();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await body.ready();
      signal.throwIfAborted();
      return body;
    } catch (error) {
      body.close();
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #readManifest(digest: Digest, signal: AbortSignal): Promise<LocalManifest | undefined> {
    const source = await this.#store.source(digest, signal);
    if (source === undefined || source.size > MAX_MANIFEST_BYTES) return undefined;
    const content = await readWhole(source, MAX_MANIFEST_BYTES, signal);
    if (digestOf(content) !== digest) throw new Error(`the bytes of ${digest} have another digest`);
    const manifest = parseManifest(content);
    // A store that met it under a name for bytes (octet-stream) does not know better than the document.
    const mediaType = manifest?.mediaType ?? source.mediaType;
    return mediaType === undefined || mediaType === OCTET_STREAM
      ? undefined
      : { digest, content, mediaType, manifest };
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
    this.#log.warn('local content does not answer', { waitedMs: patience });
    late.abort();
    working.then(discard).catch(() => {});
    return undefined;
  }
}

const BRACE = 0x7b;

/** Layers of up to 4 MiB are not read for this: they do not begin as JSON does. */
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
