import type { Socket } from 'node:net';
import { KeyedCounts } from '../base/keyed-counts.ts';
import type { Logger } from '../base/log.ts';
import type { Body } from '../http/body.ts';
import { BufferPool } from '../http/buffers.ts';
import { SERVE_BUFFERS } from '../http/constants.ts';
import { type ByteReader, FileBody, readCached } from '../http/file-body.ts';
import { Multipart } from '../http/multipart.ts';
import { type ByteRange, resolveRange, resolveRanges } from '../http/ranges.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../oci/manifest.ts';
import { contentTypeOf, OCTET_STREAM } from '../oci/media-types.ts';
import { readAllBytes } from '../store/read-all-bytes.ts';
import type { ContentStore, Source } from '../store/store.ts';
import type { BlobSelection, Call } from './call.ts';
import {
  HUNG_STORE_PERIOD_MS,
  HUNG_STORE_TIMEOUT_MS,
  MAX_MANIFESTS_BYTES,
  MAX_MANIFESTS_BYTES_PER_ADDRESS,
  STORE_TIMEOUT_MS,
} from './constants.ts';
import { type KnownManifest, KnownManifests } from './known-manifests.ts';

export interface LocalManifest extends KnownManifest {
  readonly digest: Digest;
  readonly mediaType: string;
}

export interface LocalBlob {
  /** Size of the whole blob in bytes. */
  readonly size: number;
  readonly mediaType: string;
  /** The range that the body, or its first part, holds; undefined: it cannot be satisfied. */
  readonly range: ByteRange | undefined;
  /** Describes the body when it holds several ranges. */
  readonly multipart: Multipart | undefined;
  /** Its first piece is read. The caller closes it. Undefined for HEAD, or without a range. */
  readonly body: Body | undefined;
}

/** True when this many bytes may be read into memory for a request. */
export type AdmitBytes = (bytes: number) => boolean;

/** For requests of this host itself. */
export const admitAny: AdmitBytes = () => true;

/**
 * The store as the registry uses it: content that fails or hangs counts as missing. A miss costs
 * containerd a request elsewhere; waiting for a disk that does not answer would cost it the pull.
 */
export class LocalContent {
  readonly #store: ContentStore;
  readonly #log: Logger;
  readonly #buffers = new BufferPool(SERVE_BUFFERS);
  readonly #known = new KnownManifests();
  #hungUntil = 0;

  constructor(parts: { readonly store: ContentStore; readonly log: Logger }) {
    this.#store = parts.store;
    this.#log = parts.log;
  }

  /** `target` is a digest, or a tag's key. A manifest that `admit` refuses counts as missing. */
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
   * Opens a blob and waits for its first piece; for HEAD, looks only. A manifest counts as missing,
   * and so does content that must be read to tell, when `admit` refuses that. `known`: without a
   * question to containerd.
   */
  blob(
    digest: Digest,
    {
      selection,
      which,
    }: { readonly selection: BlobSelection; readonly which?: 'known' | undefined },
    signal: AbortSignal,
    admit: AdmitBytes,
  ): Promise<LocalBlob | undefined> {
    const open = async (inTime: AbortSignal): Promise<LocalBlob | undefined> => {
      const source = await this.#store.source(digest, inTime, which);
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
   * A manifest must be found under its own path only. After a miss there, containerd asks for a
   * blob of that digest, and would keep the answer as an image with a manifest of an unknown type.
   */
  async #isManifest(source: Source, signal: AbortSignal, admit: AdmitBytes): Promise<boolean> {
    if (isOther(source)) return false;
    const known = this.#known.get(source.digest);
    if (known !== undefined) return known.manifest !== undefined;
    if (!(await beginsAsJson(source, signal))) return false;
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
      // On a disk that hangs it closes when the kernel lets go; no caller waits for that.
      reader.close().catch(() => {});
    };
    const send = async (socket: Socket) => (await parts.send?.(socket)) ?? 0;
    const body: Body = { next: () => parts.next(), send, close };
    // A read on a disk that hangs does not even reject. No caller uses the body yet.
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
    if (source === undefined || isOther(source)) return undefined;
    const known = this.#known.get(digest);
    // Otherwise a layer of 4 MiB that is asked for as a manifest would be read and hashed.
    if (known === undefined && !(await beginsAsJson(source, signal))) return undefined;
    if (!admit(source.size)) return undefined;
    const { content, manifest } = known ?? (await readChecked(source, signal));
    // The document knows better than a store that saw it as plain bytes (octet-stream).
    const mediaType = contentTypeOf(manifest?.mediaType ?? source.mediaType);
    // A descriptor can hold any text, also one with a line end, which no header can have.
    if (mediaType === OCTET_STREAM) return undefined;
    if (known === undefined) this.#known.add(digest, { content, manifest });
    return { digest, content, mediaType, manifest };
  }

  /**
   * Undefined when `work` fails or takes too long. Its signal is aborted then; otherwise it stays
   * good for what `work` returned.
   */
  async #inTime<T>(
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T | undefined>,
    discard: (late: T | undefined) => void = () => {},
  ): Promise<T | undefined> {
    const late = new AbortController();
    const tooLate = Promise.withResolvers<'late'>();
    const timeoutMs =
      performance.now() < this.#hungUntil ? HUNG_STORE_TIMEOUT_MS : STORE_TIMEOUT_MS;
    const timer = setTimeout(() => tooLate.resolve('late'), timeoutMs);
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
    this.#hungUntil = performance.now() + HUNG_STORE_PERIOD_MS;
    // While the store hangs, each request comes here: the first one is logged.
    if (timeoutMs === STORE_TIMEOUT_MS)
      this.#log.warn('local content does not answer', { waitedMs: timeoutMs });
    late.abort();
    working.then(discard).catch(() => {});
    return undefined;
  }
}

/**
 * Bounds the bytes of manifests that are in memory for other hosts. Without it, 250 connections
 * that each asked for a blob of 4 MiB under `/manifests/`, and did not read the answer, held 3 GB.
 * The number of requests is bounded by the connections (lib/http/connection-bounds.ts).
 */
export class ManifestBudget {
  /** Bytes in memory, by address. */
  readonly #held = new KeyedCounts();
  #total = 0;

  /** Admits bytes for one request, and counts them until its answer is over. */
  admitFor(call: Call): AdmitBytes {
    if (call.role === 'host') return admitAny;
    return (bytes) => {
      const held = this.#held.of(call.address);
      if (call.signal.aborted || call.response.destroyed) return false;
      if (
        held + bytes > MAX_MANIFESTS_BYTES_PER_ADDRESS ||
        this.#total + bytes > MAX_MANIFESTS_BYTES
      )
        return false;
      this.#count(call.address, bytes);
      call.response.once('close', () => this.#count(call.address, -bytes));
      return true;
    };
  }

  #count(address: string, bytes: number): void {
    this.#total += bytes;
    this.#held.add(address, bytes);
  }
}

/** The ranges of content of `size` bytes that are asked for; empty: it cannot be satisfied. */
function rangesOf({ spec, several }: BlobSelection, size: number): readonly ByteRange[] {
  if (several !== undefined) return resolveRanges(several, size);
  const range = spec === undefined ? { start: 0, end: size } : resolveRange(spec, size);
  return range === undefined ? [] : [range];
}

/**
 * The reader for one of several bodies, which does not close it: with one descriptor for all of
 * them, a layer that is deleted meanwhile stays readable to the end.
 */
function lend(reader: ByteReader): ByteReader {
  const read: ByteReader['read'] = (...how) => reader.read(...how);
  const inFile = () => reader.inFile?.();
  return { read, inFile, close: async () => {} };
}

async function readChecked(source: Source, signal: AbortSignal): Promise<KnownManifest> {
  const { digest } = source;
  const content = await readAllBytes(source, MAX_MANIFEST_BYTES, signal);
  if (digestOf(content) !== digest) throw new Error(`the bytes of ${digest} have another digest`);
  return { content, manifest: parseManifest(content) };
}

const OPENING_BRACE = 0x7b;

/**
 * True when size or type say that a source is no manifest. Otherwise it has to be read to tell: an
 * image that calls a layer a manifest does not make it one.
 */
function isOther({ mediaType, size }: Source): boolean {
  if (size === 0 || size > MAX_MANIFEST_BYTES) return true;
  // There are manifests of types that this program does not know.
  return mediaType !== OCTET_STREAM && mediaType?.match(/manifest|index/) === null;
}

/** A layer of which no type is known is not read further than that. */
async function beginsAsJson(source: Source, signal: AbortSignal): Promise<boolean> {
  const reader = await source.open(signal);
  try {
    const begin = Buffer.alloc(1);
    if (readCached(reader, begin, 0) === 0) await reader.read(begin, 0, signal);
    return begin[0] === OPENING_BRACE;
  } finally {
    await reader.close();
  }
}
