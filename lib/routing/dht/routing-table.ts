import type { PeerId } from '@libp2p/interface';
import { MAX_TABLE_PEERS } from './constants.ts';
import { bytesKey, distance, type KadPoint } from './keys.ts';

/** A peer that speaks our DHT protocol, as it described itself in identify. */
export interface TablePeer {
  readonly id: PeerId;
  /** The id as text, by which routing knows a peer. */
  readonly peerId: string;
  /** The id as multihash, as messages hold it. */
  readonly idBytes: Uint8Array;
  readonly point: KadPoint;
  /** True for our nodes, false for Go Spegel's. */
  readonly isOurs: boolean;
  /** Whether it speaks the tracker protocol. */
  readonly hasTracker: boolean;
  /** Whether it can be asked for the providers of many keys at once. */
  readonly hasProviders: boolean;
  /** Multiaddrs in binary, without `/p2p`, bounded in number. */
  readonly addresses: readonly Uint8Array[];
}

/**
 * All peers that are known to be alive, not only some per distance. The closest peers to a key are
 * therefore picked here at once instead of by asking around, as in go-libp2p's accelerated client.
 */
export class RoutingTable {
  readonly #peers = new Map<string, TablePeer>();
  /** The peer that was the last to name an address. */
  readonly #byAddress = new Map<string, TablePeer>();

  get size(): number {
    return this.#peers.size;
  }

  /** Adds or updates a peer; true if it was added. A full table takes no new peer. */
  add(peer: TablePeer): boolean {
    const isNew = !this.#peers.has(peer.peerId);
    if (isNew && this.#peers.size >= MAX_TABLE_PEERS) return false;
    this.delete(peer.peerId);
    this.#peers.set(peer.peerId, peer);
    for (const address of peer.addresses) this.#byAddress.set(bytesKey(address), peer);
    return isNew;
  }

  get(peerId: string): TablePeer | undefined {
    return this.#peers.get(peerId);
  }

  delete(peerId: string): boolean {
    const peer = this.#peers.get(peerId);
    if (peer === undefined) return false;
    for (const address of peer.addresses) {
      const key = bytesKey(address);
      if (this.#byAddress.get(key) === peer) this.#byAddress.delete(key);
    }
    return this.#peers.delete(peerId);
  }

  /** The peer that was the last to name this address as its own. */
  withAddress(address: Uint8Array): TablePeer | undefined {
    return this.#byAddress.get(bytesKey(address));
  }

  /** Other peers that were the last to name one of this peer's addresses as their own. */
  withAddressOf({ peerId, addresses }: TablePeer): TablePeer[] {
    const found = addresses.map((address) => this.#byAddress.get(bytesKey(address)));
    return [...new Set(found)].filter(
      (peer) => peer !== undefined && peer.peerId !== peerId,
    ) as TablePeer[];
  }

  all(): Iterable<TablePeer> {
    return this.#peers.values();
  }

  /**
   * The `count` peers closest to a point that `isWanted` accepts, closest first. One pass over the
   * table.
   */
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
