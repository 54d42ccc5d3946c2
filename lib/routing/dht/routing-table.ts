import type { PeerId } from '@libp2p/interface';
import { bytesKey, distance, type KadPoint } from './keys.ts';

/** A peer that speaks our DHT protocol, as it told us itself in identify. */
export interface TablePeer {
  readonly id: PeerId;
  /** The id as text: the key everywhere in this room. */
  readonly peerId: string;
  /** The id as multihash, as it travels. */
  readonly idBytes: Uint8Array;
  readonly point: KadPoint;
  /** True for our nodes, false for Go Spegel's. */
  readonly isOurs: boolean;
  /** Whether it speaks the tracker protocol. */
  readonly hasTracker: boolean;
  /** Multiaddrs in binary, without `/p2p`, bounded. */
  readonly addresses: readonly Uint8Array[];
}

/** Connections and memory per peer set this; far above the fleets that one DHT without zones can serve. */
const MAX_PEERS = 10_000;

/**
 * All peers that are known to live, not only some per distance: the closest to a key are then picked here, at
 * once, instead of by asking around. The same idea as go-libp2p's accelerated client.
 */
export class RoutingTable {
  readonly #peers = new Map<string, TablePeer>();
  /** Who was the last to tell an address. */
  readonly #byAddress = new Map<string, TablePeer>();

  get size(): number {
    return this.#peers.size;
  }

  /** Adds or renews a peer; true if it was not there. */
  add(peer: TablePeer): boolean {
    const isNew = !this.#peers.has(peer.peerId);
    if (isNew && this.#peers.size >= MAX_PEERS) return false;
    this.delete(peer.peerId);
    this.#peers.set(peer.peerId, peer);
    for (const address of peer.addresses) this.#byAddress.set(bytesKey(address), peer);
    return isNew;
  }

  get(text: string): TablePeer | undefined {
    return this.#peers.get(text);
  }

  delete(text: string): boolean {
    const peer = this.#peers.get(text);
    if (peer === undefined) return false;
    for (const address of peer.addresses) {
      const key = bytesKey(address);
      if (this.#byAddress.get(key) === peer) this.#byAddress.delete(key);
    }
    return this.#peers.delete(text);
  }

  /** The peer that was the last to tell this address. */
  withAddress(address: Uint8Array): TablePeer | undefined {
    return this.#byAddress.get(bytesKey(address));
  }

  /** Other peers that told one of this peer's addresses, and were the last to do so. */
  withAddressOf({ peerId, addresses }: TablePeer): TablePeer[] {
    const found = addresses.map((address) => this.#byAddress.get(bytesKey(address)));
    return [...new Set(found)].filter(
      (peer) => peer !== undefined && peer.peerId !== peerId,
    ) as TablePeer[];
  }

  all(): Iterable<TablePeer> {
    return this.#peers.values();
  }

  /** The `count` closest peers to a point of those that are wanted, closest first. One pass over the table. */
  closest(
    point: KadPoint,
    count: number,
    isWanted: (peer: TablePeer) => boolean = () => true,
  ): TablePeer[] {
    const peers: TablePeer[] = [];
    const distances: number[] = [];
    for (const peer of this.#peers.values()) {
      const far = distance(point, peer.point);
      if (peers.length === count && far >= (distances[count - 1] ?? 0)) continue;
      if (!isWanted(peer)) continue;
      let at = peers.length;
      while (at > 0 && (distances[at - 1] ?? 0) > far) at--;
      peers.splice(at, 0, peer);
      distances.splice(at, 0, far);
      if (peers.length > count) {
        peers.pop();
        distances.pop();
      }
    }
    return peers;
  }
}
