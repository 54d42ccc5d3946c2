import type { Libp2p, PeerId } from '@libp2p/interface';
import type { KadDHT } from '@libp2p/kad-dht';
import type { RoutingTable } from '../dht/routing-table.ts';
import { MAX_FORGETTABLE } from './constants.ts';

export interface PeerStoreCleanupParts {
  readonly libp2p: Libp2p;
  readonly table: Pick<RoutingTable, 'get'>;
}

/**
 * Makes libp2p forget peers that are gone. Its peer store and kad-dht's table keep each identity
 * for hours, so that identities that come and go would take memory without end. With this, libp2p
 * knows the connected peers, those of our routing table, and at most MAX_FORGETTABLE others.
 */
export class PeerStoreCleanup {
  readonly #parts: PeerStoreCleanupParts;
  /** Peers that were not connected when libp2p last wrote about them. */
  readonly #forgettable = new Map<string, PeerId>();
  #isSweeping = false;

  constructor(parts: PeerStoreCleanupParts) {
    this.#parts = parts;
  }

  /** Listens until the signal is aborted. `sweep` is to be called every CLEANUP_MS. */
  start(signal: AbortSignal): void {
    const { libp2p } = this.#parts;
    // 'peer:update' also covers writes after the end of a connection and those of failed dials.
    libp2p.addEventListener('peer:update', ({ detail }) => this.add(detail.peer.id), { signal });
    libp2p.addEventListener('peer:disconnect', ({ detail }) => this.add(detail), { signal });
  }

  /** Notes a peer that may be gone. */
  add(peer: PeerId): void {
    if (this.#isNeeded(peer)) return;
    this.#forgettable.set(peer.toString(), peer);
    if (this.#forgettable.size > MAX_FORGETTABLE) void this.sweep();
  }

  /** Forgets the noted peers that are still gone. Never rejects. */
  async sweep(): Promise<void> {
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    for (const [peerId, peer] of this.#forgettable) {
      this.#forgettable.delete(peerId);
      if (!this.#isNeeded(peer)) await this.#forget(peer).catch(() => {});
    }
    this.#isSweeping = false;
  }

  #isNeeded(peer: PeerId): boolean {
    const { libp2p, table } = this.#parts;
    return libp2p.getConnections(peer).length > 0 || table.get(peer.toString()) !== undefined;
  }

  async #forget(peer: PeerId): Promise<void> {
    const { peerStore, services } = this.#parts.libp2p;
    // kad-dht's table first: when it drops a peer, it writes to the peer store.
    await (services.dht as KadDHT & { routingTable: KadRoutingTable }).routingTable.remove(peer);
    await peerStore.delete(peer);
    this.#forgettable.delete(peer.toString());
  }
}

/** A member of kad-dht that its types do not declare. */
interface KadRoutingTable {
  remove(peer: PeerId): Promise<void>;
}
