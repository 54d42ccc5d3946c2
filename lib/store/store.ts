import type { FileHandle } from 'node:fs/promises';
import type { Digest } from '../oci/digest.ts';

/** The first bytes of a file, up to `end`. */
export interface FileStretch {
  readonly file: FileHandle;
  readonly end: number;
}

/**
 * Reads bytes at any position. A complete blob answers at once. In-flight content may make `read`
 * wait for bytes that still arrive, so each call has a signal.
 */
export interface Reader {
  /** What can be sent straight from a file now; undefined: `read` gives more, or says why not. */
  inFile?(): FileStretch | undefined;
  /**
   * Reads from `position` at least one byte and at most `buffer.byteLength`. Returns their number;
   * 0 only at the end (position === size). Rejects when the content is gone, or with the signal's
   * reason.
   */
  read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number>;
  /** Frees the descriptor. Idempotent. */
  close(): Promise<void>;
}

/** Content that can be read: a complete blob, or in-flight content, which still grows to `size`. */
export interface Source {
  readonly digest: Digest;
  /** Size in bytes of the complete content. */
  readonly size: number;
  /** Undefined if no descriptor named it. */
  readonly mediaType: string | undefined;
  /** Opens a new reader, which the caller closes. Several readers may be open at once. */
  open(signal: AbortSignal): Promise<Reader>;
}

/** In-flight content has not grown for too long. It may grow again. */
export class StalledError extends Error {
  override readonly name = 'StalledError';
}

/** Content that containerd is downloading. Its bytes from 0 on become more, up to `size`. */
export interface InflightSource extends Source {
  /** The number of bytes from 0 on that can be read at once. Rejects when the content is gone. */
  available(signal: AbortSignal): Promise<number>;
}

/** Finds content that is not in the store yet, for in-flight sharing. */
export interface InflightSources {
  /**
   * Content on its way into the store. Undefined if nothing downloads it, if it is stalled, or if
   * its bytes were wrong. If it has just become a blob, all of its bytes are available.
   */
  inflightSource(digest: Digest, signal: AbortSignal): Promise<InflightSource | undefined>;
  /**
   * The same, but waits up to `waitMs` for a download to begin. Also finds a blob that is complete
   * by then, whether its download was seen or not. Call it only for content that this host is known
   * to pull. Undefined after `waitMs`, or at once if the content is barred. Rejects with the
   * signal's reason.
   */
  awaitInflightSource(
    digest: Digest,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<InflightSource | undefined>;
  /**
   * True for an hour after the bytes of an in-flight download were wrong: it is not shared
   * meanwhile.
   */
  isBarred(digest: Digest): boolean;
  /**
   * This host's containerd asks for the digest, by a name that may be shared. So the content is
   * shared as soon as it is complete, without a question for its labels.
   */
  expect(digest: Digest): void;
  /**
   * Size in bytes of complete content; undefined if the store does not know that it has it. It does
   * not look at the disk.
   */
  completeSize(digest: Digest): number | undefined;
}

/**
 * A change of what a store shares. A key of the DHT is a digest or `<registry>/<repository>:<tag>`.
 * A `snapshot` has all keys; others are gone. It comes first in every `watch`, after a reconnect,
 * and at each periodic scan.
 */
export type StoreEvent =
  | { readonly type: 'snapshot'; readonly keys: ReadonlySet<string> }
  | { readonly type: 'added'; readonly keys: readonly string[] }
  | { readonly type: 'removed'; readonly keys: readonly string[] };

/**
 * Local content. Callers see only content that a pull (or an import) brought and that passes the
 * filters. For all other content every method answers as if it did not exist.
 */
export interface ContentStore {
  /** The digest of `<registry>/<repository>:<tag>`, if its manifest is here too. */
  resolve(reference: string, signal: AbortSignal): Promise<Digest | undefined>;
  /**
   * The content of a digest, or undefined if it is not here. `known`: only what the store knows of
   * already; otherwise it may ask containerd for content that has just come.
   */
  source(digest: Digest, signal: AbortSignal, which?: 'known'): Promise<Source | undefined>;
  /**
   * Yields changes until the signal is aborted. Reconnects by itself: neither ends nor throws while
   * the store cannot be reached.
   */
  watch(signal: AbortSignal): AsyncIterable<StoreEvent>;
  /** True while the store can be reached and its state has been read. The daemon is ready then. */
  isReady(): boolean;
}
