import { tcpMultiaddr } from '../base/multiaddr.ts';
import type { SeenPeer } from './bootstrapper.ts';
import { CACHED_PEER_MS, MAX_CACHED_ADDRESSES, MAX_CACHED_PEERS } from './constants.ts';
import { parseIpMultiaddr } from './peer.ts';

interface Entry {
  readonly addresses: readonly string[];
  /** Unix time. */
  readonly seenMs: number;
}

/** The peers that were seen lately, limited in number and age, and their form on disk. */
export class SeenPeers {
  /** By id; the peer that was seen last is at the end. */
  readonly #entries = new Map<string, Entry>();

  /** Multiaddrs with `/p2p`, newest first. */
  addresses(): string[] {
    return [...this.#entries]
      .reverse()
      .flatMap(([id, { addresses }]) => addresses.map((address) => `${address}/p2p/${id}`));
  }

  /** Takes the peers that are alive now; true if a peer or an address is new or was given up. */
  update(alive: readonly SeenPeer[], nowMs: number): boolean {
    const ids = new Set(alive.map(({ id }) => id));
    let isNew = this.#removeTaken(ids, new Set(alive.flatMap(({ addresses }) => addresses)));
    // Known peers first: if there are too many, a changing choice would make each call a change.
    const known = alive.filter(({ id }) => this.#entries.has(id));
    const unknown = alive.filter(({ id }) => !this.#entries.has(id));
    for (const peer of [...known, ...unknown].slice(0, MAX_CACHED_PEERS)) {
      const addresses = dialable(peer);
      if (addresses.length === 0) continue;
      const before = this.#entries.get(peer.id)?.addresses;
      isNew ||= before?.join() !== addresses.join();
      this.#entries.delete(peer.id);
      this.#entries.set(peer.id, { addresses, seenMs: nowMs });
    }
    for (const [id, { seenMs }] of this.#entries) {
      if (this.#entries.size > MAX_CACHED_PEERS || seenMs < nowMs - CACHED_PEER_MS)
        this.#entries.delete(id);
    }
    return isNew;
  }

  /**
   * Removes addresses at which another peer is alive now: a host that was installed again has a new
   * id at its old address. True if it removed one.
   */
  #removeTaken(alive: ReadonlySet<string>, taken: ReadonlySet<string>): boolean {
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
   * Adds the peers of a text by `format`, as older than those that are known. A time after `nowMs`
   * comes from a clock that was wrong and counts as now. Peers that are too old stay until others
   * are met, because the clock may be wrong now. A wrong entry is skipped. Throws an Error if the
   * text is not such a list.
   */
  load(text: string, nowMs: number): void {
    const newer = [...this.#entries];
    this.#entries.clear();
    for (const { id, addresses, seenMs } of parse(text).slice(0, MAX_CACHED_PEERS).reverse()) {
      this.#entries.set(id, { addresses, seenMs: Math.min(seenMs, nowMs) });
    }
    for (const [id, entry] of newer) {
      this.#entries.delete(id);
      this.#entries.set(id, entry);
    }
  }
}

/** The peer's addresses that can be dialled; none if its id is not a peer id. */
function dialable({ id, addresses }: SeenPeer): string[] {
  return addresses.slice(0, MAX_CACHED_ADDRESSES).flatMap((address) => {
    const peer = parseIpMultiaddr(`${address}/p2p/${id}`);
    return peer === undefined ? [] : [tcpMultiaddr(peer.host, peer.port)];
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
