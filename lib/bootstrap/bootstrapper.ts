/**
 * A source of addresses of peers to meet first. It knows nothing of the network that the peers
 * form.
 */
export interface Bootstrapper {
  /** For log lines: `static`, `dns`. */
  readonly kind: string;
  /**
   * Where peers may be found now, as multiaddrs `/ip4|ip6/<ip>/tcp/<port>[/p2p/<id>]`, in any
   * order, this host's own among them. Asked again whenever the node is alone and now and then, so
   * names are resolved and files read anew each time. May reject when nothing can be learned; the
   * others' addresses are used then.
   */
  addresses(signal: AbortSignal): Promise<readonly string[]>;
  /**
   * Serves or watches until the signal is aborted, and calls `changed` whenever `addresses` may
   * give new ones. Rejects with a SpegelError only for what the administrator has to mend before a
   * start, such as a port in use.
   */
  start?(signal: AbortSignal, changed: () => void): Promise<void>;
  /** Ends what `start` began. */
  stop?(): Promise<void>;
}

/**
 * How this node is reached, for bootstrappers that tell others: multiaddrs that end in `/p2p/<id>`.
 */
export type OwnMultiaddrs = () => readonly string[];

/** A peer that was seen alive. */
export interface SeenPeer {
  /** libp2p peer id as text. */
  readonly id: string;
  /** Multiaddrs `/ip4|ip6/<ip>/tcp/<port>`, without `/p2p`. */
  readonly addresses: readonly string[];
}

/** Keeps the peers that were seen alive lately over a restart. */
export interface PeerMemory extends Bootstrapper {
  /** Takes the peers that are alive now; written to disk soon, or at `stop`. Never throws. */
  remember(alive: readonly SeenPeer[]): void;
}
