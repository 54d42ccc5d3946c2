import type { SeenPeer } from './bootstrapper.ts';
import { parseIpMultiaddr, toMultiaddr } from './multiaddr.ts';

/** One that still lives is enough to meet all the others. */
export const MAX_PEERS = 512;
const MAX_ADDRESSES = 8;
const FORGET_MS = 30 * 86_400_000;

interface Entry {
  readonly addresses: readonly string[];
  /** Unix time. */
  readonly seenMs: number;
}

/** The peers that were seen lately, bounded in number and age, and their form on disk. */
export class SeenPeers {
  /** By id, the one that was seen last at the end. */
  readonly #entries = new Map<string, Entry>();

  /** Newest first, with `/p2p`. */
  addresses(): string[] {
    return [...this.#entries]
      .reverse()
      .flatMap(([id, { addresses }]) => addresses.map((address) => `${address}/p2p/${id}`));
  }

  /**
   * Takes those that are alive now; true when there are others, or others' addresses, than before.
   */
  update(alive: readonly SeenPeer[], nowMs: number): boolean {
    const ids = new Set(alive.map(({ id }) => id));
    let isNew = this.#giveUp(ids, new Set(alive.flatMap(({ addresses }) => addresses)));
    // Of more than there is room for, always the same ones: else each call would be worth a write.
    const known = alive.filter(({ id }) => this.#entries.has(id));
    const unknown = alive.filter(({ id }) => !this.#entries.has(id));
    for (const peer of [...known, ...unknown].slice(0, MAX_PEERS)) {
      const addresses = dialable(peer);
      if (addresses.length === 0) continue;
      const before = this.#entries.get(peer.id)?.addresses;
      isNew ||= before?.join() !== addresses.join();
      this.#entries.delete(peer.id);
      this.#entries.set(peer.id, { addresses, seenMs: nowMs });
    }
    for (const [id, { seenMs }] of this.#entries) {
      if (this.#entries.size > MAX_PEERS || seenMs < nowMs - FORGET_MS) this.#entries.delete(id);
    }
    return isNew;
  }

  /**
   * A host that was installed anew has another id at the same address: nobody is at the old one any
   * more.
   */
  #giveUp(alive: ReadonlySet<string>, taken: ReadonlySet<string>): boolean {
    let isNew = false;
    for (const [id, { addresses, seenMs }] of this.#entries) {
      const free = addresses.filter((address) => !taken.has(address));
      if (alive.has(id) || free.length === addresses.length) continue;
      isNew = true;
      if (free.length === 0) this.#entries.delete(id);
      else this.#entries.set(id, { addresses: free, seenMs });
    }
    return isNew;
  }

  format(): string {
    const peers = [...this.#entries].reverse().map(([id, { addresses, seenMs }]) => ({
      id,
      addresses,
      seen: new Date(seenMs).toISOString(),
    }));
    return `${JSON.stringify({ version: 1, peers }, null, 1)}\n`;
  }

  /**
   * Adds what `format` made, behind what is known already. `nowMs`: a time after it comes from a
   * clock that was wrong. Too old ones are kept until others are met: the clock may be wrong now.
   * Throws an Error for what it did not make; what is wrong with a single peer leaves that one out.
   */
  load(text: string, nowMs: number): void {
    const newer = [...this.#entries];
    this.#entries.clear();
    for (const { id, addresses, seenMs } of parse(text).slice(0, MAX_PEERS).reverse()) {
      this.#entries.set(id, { addresses, seenMs: Math.min(seenMs, nowMs) });
    }
    for (const [id, entry] of newer) {
      this.#entries.delete(id);
      this.#entries.set(id, entry);
    }
  }
}

/**
 * Addresses that `Bootstrapper.addresses` may give; undefined ids and names have no place in it.
 */
function dialable({ id, addresses }: SeenPeer): string[] {
  return addresses.slice(0, MAX_ADDRESSES).flatMap((address) => {
    const peer = parseIpMultiaddr(`${address}/p2p/${id}`);
    return peer === undefined ? [] : [toMultiaddr(peer.host, peer.port, undefined)];
  });
}

function parse(text: string): (SeenPeer & { seenMs: number })[] {
  const value: unknown = JSON.parse(text);
  const isOurs =
    typeof value === 'object' && value !== null && 'peers' in value && Array.isArray(value.peers);
  if (!isOurs) throw new Error('not a list of peers');
  const peers: readonly unknown[] = Array.isArray(value.peers) ? value.peers : [];
  return peers.flatMap((item) => {
    if (typeof item !== 'object' || item === null) return [];
    const { id, addresses, seen } = item as Record<string, unknown>;
    const seenMs = typeof seen === 'string' ? Date.parse(seen) : Number.NaN;
    if (typeof id !== 'string' || !Array.isArray(addresses) || Number.isNaN(seenMs)) return [];
    const texts = addresses.filter((address) => typeof address === 'string');
    const usable = dialable({ id, addresses: texts });
    return usable.length === 0 ? [] : [{ id, addresses: usable, seenMs }];
  });
}
