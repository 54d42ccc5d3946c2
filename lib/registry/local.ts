import type { Logger } from '../base/log.ts';
import { BufferPool, SERVE_BUFFER_BYTES } from '../http/buffers.ts';
import { FileBody } from '../http/file-body.ts';
import { type ByteRange, type RangeSpec, resolveRange } from '../http/ranges.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES, type Manifest, parseManifest } from '../oci/manifest.ts';
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

  /** Opens a blob and waits for its first piece; `isHead` looks only. */
  blob(
    digest: Digest,
    spec: RangeSpec | undefined,
    isHead: boolean,
    signal: AbortSignal,
  ): Promise<LocalBlob | undefined> {
    const open = async (inTime: AbortSignal): Promise<LocalBlob | undefined> => {
      const source = await this.#store.source(digest, inTime);
      if (source === undefined) return undefined;
      const whole = { start: 0, end: source.size };
      const range = spec === undefined ? whole : resolveRange(spec, source.size);
      if (isHead || range === undefined) return { source, range, body: undefined };
      return { source, range, body: await this.#open(source, range, inTime) };
    };
    return this.#inTime(signal, open, (blob) => blob?.body?.close());
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
    const content = await readWhole(source, signal);
    if (digestOf(content) !== digest) throw new Error(`the bytes of ${digest} have another digest`);
    const manifest = parseManifest(content);
    const mediaType = source.mediaType ?? manifest?.mediaType;
    return mediaType === undefined ? undefined : { digest, content, mediaType, manifest };
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

async function readWhole(source: Source, signal: AbortSignal): Promise<Buffer> {
  const reader = await source.open(signal);
  try {
    const whole = Buffer.alloc(source.size);
    let filled = 0;
    while (filled < whole.byteLength) {
      const count = await reader.read(whole.subarray(filled), filled, signal);
      if (count === 0) throw new Error(`${source.digest} ends at byte ${filled} of ${source.size}`);
      filled += count;
    }
    return whole;
  } finally {
    await reader.close();
  }
}

/** A disk that spins up, or a store with thousands of images, takes less. */
const LOCAL_MS = 500;

/** A store that hung is given less time for a while: a pull of 60 layers must not wait 60 times. */
const HUNG_MS = 50;
const HUNG_FOR_MS = 10_000;
