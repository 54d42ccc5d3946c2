/** A host that announced a key, with the registry addresses to ask it at, best first. */
export interface Candidate {
  /** libp2p peer id, as text. */
  readonly peerId: string;
  /** `host:port` of its registry; IPv6 in brackets. At least one. */
  readonly addresses: readonly string[];
}

/** A peer that this node has met. */
export interface KnownPeer {
  /** libp2p peer id, as text. */
  readonly peerId: string;
  /** `host:port` where its router listens; IPv6 in brackets. */
  readonly router: readonly string[];
  /** `host:port` of its registry. */
  readonly registry: readonly string[];
}

export interface LookupOptions {
  /**
   * The lookup may end at once when nobody had the key at a prefetch a moment ago. For a caller
   * that hears otherwise of peers that have got the key meanwhile. Default: false.
   */
  readonly takesKeptMiss?: boolean;
}

/** Tells which peers have a key. Keys are digests or `<registry>/<repository>:<tag>`. */
export interface Router {
  /**
   * Yields candidates as they become known. Ends when the closest live peers have answered, or
   * when the signal is aborted, which does not throw. Never yields this node itself, and no peer
   * twice.
   */
  lookup(key: string, signal: AbortSignal, options?: LookupOptions): AsyncIterable<Candidate>;
  /**
   * Looks for the providers of up to 128 keys that are likely to be looked up within seconds, and
   * remembers them as long. Returns at once; nothing is announced.
   */
  prefetch(keys: readonly string[]): void;
  /**
   * Announces keys and keeps them announced until `withdraw`. Returns at once; the work is batched.
   */
  advertise(keys: Iterable<string>): void;
  /**
   * Stops refreshing keys. The network forgets them when their records expire; a peer that asks
   * gets 404.
   */
  withdraw(keys: Iterable<string>): void;
  /**
   * Tells the router that a peer did not answer a request. The router then finds out whether the
   * peer is still there. Returns at once.
   */
  suspect(peerId: string): void;
}
