import { BoundedMap } from '../../base/bounded-map.ts';
import type { TablePeer } from '../dht/routing-table.ts';

interface Entry {
  readonly peer: TablePeer;
  /** Time when it went, on the monotonic clock in ms. */
  readonly since: number;
}

/** After a day a host is no longer away, but gone; if it ever comes it joins as any other. */
const FORGET_MS = 24 * 3_600_000;
const MAX_LOST = 1_000;

/**
 * Peers that were in the table and went without a word: dead, or on the other side of a broken network. They are
 * dialled again now and then, so that two halves of a fleet find together when the network is whole, whether or not
 * one of them stands in a list of first peers. Bounded: who went first is forgotten first.
 */
export class LostPeers {
  readonly #entries = new BoundedMap<string, Entry>(MAX_LOST);

  has(peer: string): boolean {
    return this.#entries.has(peer);
  }

  add(peer: TablePeer, now = performance.now()): void {
    this.#entries.set(peer.peerId, { peer, since: now });
  }

  /** True if it was there. */
  delete(peer: string): boolean {
    return this.#entries.delete(peer);
  }

  /** The next few in turn; all of them have had theirs before one comes again. */
  next(count: number, now = performance.now()): TablePeer[] {
    const peers: TablePeer[] = [];
    for (const [text, entry] of [...this.#entries].slice(0, count)) {
      this.#entries.delete(text);
      if (entry.since + FORGET_MS < now) continue;
      this.#entries.set(text, entry);
      peers.push(entry.peer);
    }
    return peers;
  }

  all(): TablePeer[] {
    return this.next(this.#entries.size);
  }
}
