import { BoundedMap } from '../../base/bounded-map.ts';
import type { TablePeer } from '../dht/routing-table.ts';
import { LOST_PEER_FORGET_MS, MAX_LOST_PEERS } from './constants.ts';

interface LostPeer {
  readonly peer: TablePeer;
  /** When it left the table, on the monotonic clock in ms. */
  readonly lostAt: number;
}

/**
 * Peers that left the routing table without a goodbye: they are dead, or on the other side of a
 * broken network. They are dialled again now and then, so that two halves of a fleet find together
 * when the network is repaired, whether or not a bootstrap list names one of them. At the bound the
 * peer that was lost first is dropped.
 */
export class LostPeers {
  readonly #lost = new BoundedMap<string, LostPeer>(MAX_LOST_PEERS);

  has(peerId: string): boolean {
    return this.#lost.has(peerId);
  }

  add(peer: TablePeer, now = performance.now()): void {
    this.#lost.set(peer.peerId, { peer, lostAt: now });
  }

  /** True if the peer was lost. */
  delete(peerId: string): boolean {
    return this.#lost.delete(peerId);
  }

  /** The next `count` peers. No peer is returned again before all others were. */
  next(count: number, now = performance.now()): TablePeer[] {
    const peers: TablePeer[] = [];
    for (const [peerId, lost] of [...this.#lost].slice(0, count)) {
      this.#lost.delete(peerId);
      if (lost.lostAt + LOST_PEER_FORGET_MS < now) continue;
      this.#lost.set(peerId, lost);
      peers.push(lost.peer);
    }
    return peers;
  }

  all(): TablePeer[] {
    return this.next(this.#lost.size);
  }
}
