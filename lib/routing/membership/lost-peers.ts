import { delay } from '../../base/abortable.ts';
import { Backoff } from '../../base/backoff.ts';
import { BoundedMap } from '../../base/bounded-map.ts';
import type { TablePeer } from '../dht/routing-table.ts';
import {
  LOST_PEER_FORGET_MS,
  LOST_PEERS_PER_TURN,
  LOST_PEERS_RETRY,
  MAX_LOST_PEERS,
} from './constants.ts';

/** Dials these peers. Resolves when each was reached or has failed; never rejects. */
export type DialAll = (peers: readonly TablePeer[]) => Promise<unknown>;

interface LostPeer {
  readonly peer: TablePeer;
  /** When it left the table, on the monotonic clock in ms. */
  readonly lostAt: number;
}

/**
 * Peers that left the routing table without a goodbye: they are dead, or on the other side of a
 * broken network. Dials them again now and then, so that two halves of a fleet find together when
 * the network is repaired, whether or not a bootstrap list names one of them. At the bound the peer
 * that was lost first is dropped.
 */
export class LostPeers {
  readonly #dialAll: DialAll;
  readonly #lost = new BoundedMap<string, LostPeer>(MAX_LOST_PEERS);
  readonly #backoff = new Backoff(LOST_PEERS_RETRY);
  #isRedialingAll = false;

  constructor(dialAll: DialAll) {
    this.#dialAll = dialAll;
  }

  has(peerId: string): boolean {
    return this.#lost.has(peerId);
  }

  /** The peer left the table without a goodbye. The next redial comes soon. */
  add(peer: TablePeer, now = performance.now()): void {
    this.#lost.set(peer.peerId, { peer, lostAt: now });
    this.#backoff.reset();
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

  /** Dials a few lost peers at a time: soon after a loss, then ever more rarely. Never rejects. */
  async redialInTurn(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(this.#backoff.next(), signal).catch(() => {});
      if (!signal.aborted) await this.#dialAll(this.next(LOST_PEERS_PER_TURN));
    }
  }

  /**
   * Dials all lost peers: one is back, so the network that parted them may be repaired. Never
   * rejects.
   */
  async redialAll(): Promise<void> {
    if (this.#isRedialingAll) return;
    this.#isRedialingAll = true;
    await this.#dialAll(this.next(this.#lost.size));
    this.#isRedialingAll = false;
  }
}
