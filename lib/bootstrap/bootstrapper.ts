/** A list of addresses of first peers. It knows nothing of the network that the peers form. */
export interface Bootstrapper {
  /** The name of the list in log lines, such as `static`. */
  readonly kind: string;
  /**
   * The addresses of peers as multiaddrs `/ip4|ip6/<ip>/tcp/<port>[/p2p/<id>]`, in any order. They
   * may include this host's own. Each call resolves names and reads files again: it is made
   * whenever the node is alone, and now and then. May reject; the other lists are used then.
   */
  addresses(signal: AbortSignal): Promise<readonly string[]>;
  /**
   * Serves or watches until the signal is aborted, and calls `changed` whenever `addresses` may
   * return new ones. Rejects with a SpegelError only if the administrator must change something
   * before the next start, such as a port that is in use.
   */
  start?(signal: AbortSignal, changed: () => void): Promise<void>;
  /** Ends what `start` began. */
  stop?(): Promise<void>;
}

/** Returns where this node is reached, for lists that tell others: multiaddrs with `/p2p/<id>`. */
export type OwnMultiaddrs = () => readonly string[];

/** A peer that was seen alive. */
export interface SeenPeer {
  /** libp2p peer id as text. */
  readonly id: string;
  /** Multiaddrs `/ip4|ip6/<ip>/tcp/<port>`, without `/p2p`. */
  readonly addresses: readonly string[];
}

/** A list that keeps the peers that were seen alive, for the next start. */
export interface PeerMemory extends Bootstrapper {
  /** Takes the peers that are alive now, to be written to disk soon or at `stop`. Never throws. */
  remember(alive: readonly SeenPeer[]): void;
}
