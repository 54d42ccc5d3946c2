import type { Digest } from '../oci/digest.ts';

export interface EntryBounds {
  /** Of all peers and digests together: some 500 bytes each. */
  readonly maxEntries: number;
  /** Digests of one peer at once. */
  readonly maxEntriesPerPeer: number;
}

/** Of what the peer that makes room has, so much goes at once: to look for it costs a walk. */
const ROOM = 1 / 8;

/**
 * Which peer has to do with which digest, bounded in all. When it is full the peer that has most
 * makes room, not the one that comes: digests that one makes up would push out those of a fleet.
 */
export class TrackerEntries {
  readonly #bounds: EntryBounds;
  readonly #onEvicted: (peer: string, digest: Digest) => void;
  /** The one that was heard of longest ago first, peers and the digests of each. */
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
    this.#evict(greedy, Math.ceil(most * ROOM));
  }

  /** The oldest of a peer. */
  #evict(peer: string, count: number): void {
    for (const digest of [...(this.#byPeer.get(peer) ?? [])].slice(0, count)) {
      this.delete(peer, digest);
      this.#onEvicted(peer, digest);
    }
  }
}
