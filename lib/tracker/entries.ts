import type { Digest } from '../oci/digest.ts';
import { EVICTED_PART } from './constants.ts';

export interface EntryBounds {
  /** Of all peers and digests together; some 500 bytes each. */
  readonly maxEntries: number;
  /** Digests of one peer at once. */
  readonly maxEntriesPerPeer: number;
}

/**
 * Which peer pulls or has which digest, bounded in all. When it is full the peer with the most
 * entries makes room: otherwise digests that one peer makes up would push out those of a fleet.
 */
export class TrackerEntries {
  readonly #bounds: EntryBounds;
  readonly #onEvicted: (peer: string, digest: Digest) => void;
  /** The digests of each peer; what was heard of longest ago comes first. */
  readonly #byPeer = new Map<string, Set<Digest>>();
  #size = 0;

  constructor(bounds: EntryBounds, onEvicted: (peer: string, digest: Digest) => void) {
    this.#bounds = bounds;
    this.#onEvicted = onEvicted;
  }

  get size(): number {
    return this.#size;
  }

  /** Adds or renews an entry; others may make room for it. */
  touch(peer: string, digest: Digest): void {
    const own = this.#byPeer.get(peer);
    if (own?.delete(digest) === true) this.#size -= 1;
    else if (own !== undefined && own.size >= this.#bounds.maxEntriesPerPeer) this.#evict(peer, 1);
    else if (this.#size >= this.#bounds.maxEntries) this.#makeRoom(peer);
    const kept = this.#byPeer.get(peer) ?? new Set();
    this.#byPeer.delete(peer);
    this.#byPeer.set(peer, kept.add(digest));
    this.#size += 1;
  }

  delete(peer: string, digest: Digest): void {
    const own = this.#byPeer.get(peer);
    if (own?.delete(digest) !== true) return;
    this.#size -= 1;
    if (own.size === 0) this.#byPeer.delete(peer);
  }

  clear(): void {
    this.#byPeer.clear();
    this.#size = 0;
  }

  #makeRoom(newcomer: string): void {
    let [greedy, most] = [newcomer, this.#byPeer.get(newcomer)?.size ?? 0];
    for (const [peer, { size }] of this.#byPeer) {
      if (size > most) [greedy, most] = [peer, size];
    }
    this.#evict(greedy, Math.ceil(most * EVICTED_PART));
  }

  /** Removes the oldest entries of a peer. */
  #evict(peer: string, count: number): void {
    for (const digest of [...(this.#byPeer.get(peer) ?? [])].slice(0, count)) {
      this.delete(peer, digest);
      this.#onEvicted(peer, digest);
    }
  }
}
