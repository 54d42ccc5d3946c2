import type { Digest } from '../oci/digest.ts';

/**
 * Bytes at an offset. `read` may have to wait for bytes that are still arriving, so a reader must be given
 * a signal; a blob that is complete answers at once.
 */
export interface Reader {
  /**
   * Reads at least one and at most `buffer.byteLength` bytes from `position` on. Returns how many; 0 only at
   * the end (position === size). Rejects when the content vanished or the signal was aborted.
   */
  read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number>;
  /** Frees the descriptor. Idempotent. */
  close(): Promise<void>;
}

/** Content that can be read: complete in the store, or (in-flight sharing) still growing to `size`. */
export interface Source {
  readonly digest: Digest;
  /** In bytes, right from the start, also when the content is still growing. */
  readonly size: number;
  /** The media type where the store knows it (a descriptor named it), otherwise undefined. */
  readonly mediaType: string | undefined;
  /** Opens an own reader; several may be open at once. The caller closes it. */
  open(signal: AbortSignal): Promise<Reader>;
}

/** Content on its way has not grown for too long; it may grow again. */
export class StalledError extends Error {
  override readonly name = 'StalledError';
}

/** Content that containerd is just downloading: bytes from 0 on that become more, up to `size`. */
export interface InflightSource extends Source {
  /** Bytes that can be read at once, from 0 on. Rejects when the content vanished. */
  available(signal: AbortSignal): Promise<number>;
}

/** Where content is found that is not yet in the store (in-flight sharing). */
export interface InflightSources {
  /**
   * Content on its way into the store. Undefined when nobody downloads it, when it has stopped to grow, or when
   * its bytes were wrong. It may have become a blob meanwhile: then all of it is available.
   */
  inflightSource(digest: Digest, signal: AbortSignal): Promise<InflightSource | undefined>;
  /**
   * The same, waiting up to `waitMs` for somebody to begin; one that is complete by then is offered, too, whether it was
   * seen on its way or not. To be asked only for what is known to be pulled here. Undefined when that was in vain, or at once when it
   * is barred. Rejects with the signal's reason.
   */
  awaitInflightSource(
    digest: Digest,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<InflightSource | undefined>;
  /** True while the content is not shared in flight because its bytes were wrong: for an hour. */
  isBarred(digest: Digest): boolean;
}

/**
 * What a store has to share, as keys of the DHT: a digest, or `<registry>/<repository>:<tag>`.
 * `snapshot` is the whole truth (at the start, after a reconnect, at a periodic sweep): keys that are not in
 * it are gone. Every `watch` begins with one.
 */
export type StoreEvent =
  | { readonly type: 'snapshot'; readonly keys: ReadonlySet<string> }
  | { readonly type: 'added'; readonly keys: readonly string[] }
  | { readonly type: 'removed'; readonly keys: readonly string[] };

/**
 * Where local content lives. Only content that a pull (or an import) brought and that the filters let pass
 * is there for callers; for the rest of the content store every method answers as if it did not exist.
 */
export interface ContentStore {
  /** The digest that `<registry>/<repository>:<tag>` stands for here, if its manifest is here too. */
  resolve(reference: string, signal: AbortSignal): Promise<Digest | undefined>;
  /** The content of a digest, or undefined when it is not here. */
  source(digest: Digest, signal: AbortSignal): Promise<Source | undefined>;
  /** Changes until the signal is aborted. Reconnects by itself; never ends or throws for a store that is away. */
  watch(signal: AbortSignal): AsyncIterable<StoreEvent>;
  /** True once the store's state has been read and while it can be reached: the readiness of the daemon. */
  isReady(): boolean;
}
