import type { Libp2p, PeerId } from '@libp2p/interface';
import type { KadDHT } from '@libp2p/kad-dht';
import type { RoutingTable } from '../dht/routing-table.ts';

export interface PeerStoreCleanupParts {
  readonly libp2p: Libp2p;
  readonly table: Pick<RoutingTable, 'get'>;
}

/** What the library writes when a connection ends, it writes within moments. */
export const FORGET_MS = 5_000;
/** Peers without a connection that it may know meanwhile. */
const MAX_DISCONNECTED = 1_000;

/**
 * Has libp2p forget peers that are gone: its peer store and kad-dht's table keep each identity for
 * hours, so that identities that came and went took memory without end. What they know is bounded
 * by the connections, our table and MAX_LOOSE.
 */
export class PeerStoreCleanup {
  readonly #parts: PeerStoreCleanupParts;
  /** Peers that were not connected when they were last heard of. */
  readonly #disconnected = new Map<string, PeerId>();
  #isSweeping = false;

  constructor(parts: PeerStoreCleanupParts) {
    this.#parts = parts;
  }

  /** Until the signal; `sweep` is to be called every FORGET_MS. */
  start(signal: AbortSignal): void {
    const { libp2p } = this.#parts;
    // Also what is written after the end of a connection, and what a dial in vain leaves behind.
    libp2p.addEventListener('peer:update', ({ detail }) => this.add(detail.peer.id), { signal });
    libp2p.addEventListener('peer:disconnect', ({ detail }) => this.add(detail), { signal });
  }

  /** A peer may be gone. */
  add(peer: PeerId): void {
    if (this.#isNeeded(peer)) return;
    this.#disconnected.set(peer.toString(), peer);
    if (this.#disconnected.size > MAX_DISCONNECTED) void this.sweep();
  }

  /** Forgets those that are gone. Never rejects. */
  async sweep(): Promise<void> {
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    for (const [text, peer] of this.#disconnected) {
      this.#disconnected.delete(text);
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
    // Before the store: its listener writes there that the peer has no tag any more.
    await (services.dht as KadDHT & { routingTable: KadRoutingTable }).routingTable.remove(peer);
    await peerStore.delete(peer);
    this.#disconnected.delete(peer.toString());
  }
}

/** Of kad-dht, which does not declare it. */
interface KadRoutingTable {
  remove(peer: PeerId): Promise<void>;
}
