/** A source of addresses of peers to meet first. It knows nothing of the network that the peers form. */
export interface Bootstrapper {
  /** For log lines: `static`, `dns`. */
  readonly kind: string;
  /**
   * Where peers may be found now, as multiaddrs `/ip4|ip6/<ip>/tcp/<port>[/p2p/<id>]`, in any order, this
   * host's own among them. Asked again whenever the node is alone, so names are resolved anew each time.
   * May reject when nothing can be learned; the others' addresses are used then.
   */
  addresses(signal: AbortSignal): Promise<readonly string[]>;
}
