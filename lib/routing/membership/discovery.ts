import { randomUUID } from 'node:crypto';
import { delay } from '../../base/abortable.ts';
import { Backoff } from '../../base/backoff.ts';
import { shuffled } from '../../base/shuffled.ts';
import { REPLICATION } from '../constants.ts';
import type { DhtClient } from '../dht/client.ts';
import { distance, kadPoint, MAX_DISTANCE, multihashOf } from '../dht/keys.ts';
import type { RoutingTable, TablePeer } from '../dht/routing-table.ts';
import { UnansweringPeers } from '../dht/unanswering-peers.ts';
import type { WirePeer } from '../wire-peer.ts';
import { peerIdText } from '../wire-peer.ts';
import { ReferralLimits, type ReferredPeer } from './referral-limits.ts';

export interface DiscoveryParts {
  readonly table: RoutingTable;
  readonly client: DhtClient;
  /** This node's peer id as multihash. */
  readonly selfId: Uint8Array;
  /** True when the peer is connected now; identify, which follows, brings it into the table. Never rejects. */
  readonly dial: (peer: Pick<TablePeer, 'peerId' | 'addresses'>) => Promise<boolean>;
  /** How many peers one of ours tells at most: an answer of so many is not all that it knows. */
  readonly peersTold: number;
  /** True where this node announces loopback: its peers are on this same machine. */
  readonly isOnLoopback: () => boolean;
  /** A peer tells of this node at an address that is not this host's. */
  readonly onSelf: (addresses: readonly Uint8Array[]) => void;
}

/** Peers of hearsay dialled at once. */
const MAX_DIALS = 16;
/** So many newcomers are asked whom they know: all of the first, then ever fewer of the many, by chance. */
const NEWCOMERS_ASKED = 8;
const EXPLORE = { minMs: 250, maxMs: 30_000 };
/** Peers that are hoped for per answer when a large fleet is asked for part by part, of those that may be told. */
const EXPECTED_SHARE = 0.4;
/** Parts that the key space is asked for in: 10,000 peers, the most that the table takes, need 100. */
const MAX_PARTS = 128;
/** Above this part of strangers in an answer there is more to be learned than the next turns would bring. */
const UNKNOWN_SHARE = 0.1;

/** Asks peers whom else they know and dials those that are new. kad-dht's own table fills unevenly. */
export class Discovery {
  readonly #parts: DiscoveryParts;
  readonly #dialling = new Set<string>();
  /** Peers of hearsay that could not be reached. */
  readonly #unanswering = new UnansweringPeers();
  readonly #backoff = new Backoff(EXPLORE);
  readonly #referrals: ReferralLimits;
  #isAskingAll = false;

  constructor(parts: DiscoveryParts) {
    this.#parts = parts;
    this.#referrals = new ReferralLimits(parts.isOnLoopback);
  }

  /**
   * Asks random peers: often while that brings new ones, then ever more rarely. Of two nodes that join through the
   * same peer at once it may know neither yet the first time. Ends with the signal; never rejects.
   */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(this.#backoff.next(), signal).catch(() => {});
      if (signal.aborted) return;
      const peer = this.#randomPeer();
      if (peer === undefined || (await this.explore(peer)) > 0) this.#backoff.reset();
    }
  }

  /** A peer came into the table. One in many is asked: it may come from a part of the network that we do not know. */
  joined(peer: TablePeer): void {
    this.#unanswering.answered(peer.peerId);
    if (Math.random() * this.#parts.table.size < NEWCOMERS_ASKED) void this.explore(peer);
  }

  /** A peer left the table: what others say of it brings it back only after a while. */
  left(peer: string): void {
    this.#unanswering.failed(peer);
  }

  /**
   * Asks a peer whom it knows and dials the unknown; in a large fleet, then other peers for the rest. Resolves with how
   * many were reached; never rejects.
   */
  async explore(peer: TablePeer): Promise<number> {
    const { table, selfId, peersTold } = this.#parts;
    // Go Spegel tells k peers, whoever asks.
    const limit = peer.isOurs ? peersTold : REPLICATION;
    // All that it knows fits into an answer, or it is asked for another part of the fleet each time.
    const key = table.size < limit / 2 ? selfId : randomKey();
    const { told, unknown } = await this.#ask(peer, key, limit);
    const reached = await this.#dialReferred(peer, unknown);
    const isPart = told.length >= limit;
    if (isPart && unknown.length > UNKNOWN_SHARE * told.length) {
      await this.#askForAllParts(partBits(fleetSize(key, told), limit * EXPECTED_SHARE));
    }
    return reached;
  }

  /** Asks for all parts of the key space, each time another peer. */
  async #askForAllParts(bits: number): Promise<void> {
    if (this.#isAskingAll) return;
    this.#isAskingAll = true;
    try {
      for (const part of keysOfParts(bits)) {
        const peer = this.#randomPeer();
        if (peer === undefined) continue;
        const { unknown } = await this.#ask(peer, part, this.#parts.peersTold);
        await this.#dialReferred(peer, unknown);
      }
    } finally {
      this.#isAskingAll = false;
    }
  }

  async #ask(
    peer: TablePeer,
    key: Uint8Array,
    limit: number,
  ): Promise<{ told: readonly WirePeer[]; unknown: ReferredPeer[] }> {
    try {
      const { closer } = await this.#parts.client.findNode(peer, key);
      const heard = this.#referrals.dialablePeers(this.#referrerOf(peer), closer);
      const self = heard.find(({ peerId }) => peerId === peerIdText(this.#parts.selfId));
      if (self !== undefined) this.#parts.onSelf(self.addresses);
      const unknown = heard.filter(({ peerId }) => this.#isUnknown(peerId));
      // No more than an honest one tells, a choice of them: names that are made up take their time when dialled.
      return { told: closer, unknown: shuffled(unknown).slice(0, limit) };
    } catch {
      // It failed a question that nobody waits for; lookups find out whether it lives.
      return { told: [], unknown: [] };
    }
  }

  #randomPeer(): TablePeer | undefined {
    const peers = [...this.#parts.table.all()];
    return peers[Math.floor(Math.random() * peers.length)];
  }

  /** By its address, since ids cost nothing; on one machine all have the same. */
  #referrerOf(peer: TablePeer): string {
    const [ip] = this.#parts.isOnLoopback() ? [] : this.#parts.client.remoteIpsOf(peer);
    return ip ?? peer.peerId;
  }

  /**
   * Dials peers that we had to do with ourselves. Resolves with how many were reached; never
   * rejects.
   */
  dialAll(peers: readonly Pick<TablePeer, 'peerId' | 'addresses'>[]): Promise<number> {
    return countTrue(peers, (peer) => this.#dial(peer));
  }

  /**
   * Dials what a peer told, as far as it is to be believed. Resolves with how many were reached;
   * never rejects.
   */
  #dialReferred(teller: TablePeer, peers: readonly ReferredPeer[]): Promise<number> {
    const name = this.#referrerOf(teller);
    return countTrue(peers, async (peer) => {
      if (!this.#referrals.allowDial(name)) return false;
      const isReached = await this.#dial(peer);
      if (!isReached && !this.#parts.client.isConnectedTo(peer.peerId))
        this.#referrals.failed(name);
      return isReached;
    });
  }

  async #dial(peer: Pick<TablePeer, 'peerId' | 'addresses'>): Promise<boolean> {
    // One that is connected and not in the table has still to say who it is: to dial it again brings nothing new.
    if (this.#dialling.has(peer.peerId) || this.#parts.client.isConnectedTo(peer.peerId))
      return false;
    this.#dialling.add(peer.peerId);
    const isReached = await this.#parts.dial(peer);
    this.#dialling.delete(peer.peerId);
    if (!isReached) this.#unanswering.failed(peer.peerId);
    return isReached;
  }

  #isUnknown(text: string): boolean {
    const { table, selfId } = this.#parts;
    return (
      table.get(text) === undefined && text !== peerIdText(selfId) && !this.#unanswering.has(text)
    );
  }
}

/** Runs `work` for all, a bounded number at once. Resolves with how often it was true. */
async function countTrue<T>(
  items: readonly T[],
  work: (item: T) => Promise<boolean>,
): Promise<number> {
  const next = items.values();
  let count = 0;
  const worker = async () => {
    for (const item of next) if (await work(item)) count++;
  };
  await Promise.all(Array.from({ length: Math.min(MAX_DIALS, items.length) }, worker));
  return count;
}

const randomKey = () => multihashOf(randomUUID());

/** How many peers there are, of how far the farthest of the closest ones is. */
export function fleetSize(key: Uint8Array, closest: readonly WirePeer[]): number {
  const point = kadPoint(key);
  const farthest = Math.max(1, ...closest.map(({ id }) => distance(point, kadPoint(id))));
  return closest.length * (MAX_DISTANCE / farthest);
}

/** Into how many parts, as a power of two, a fleet is divided so that each has `perPart` peers or fewer. */
export function partBits(size: number, perPart: number): number {
  const parts = Math.min(MAX_PARTS, Math.max(1, size / perPart));
  return Math.ceil(Math.log2(parts));
}

/** A key in each part of the key space; the place of a key is a hash, so they are found by trying. */
export function keysOfParts(bits: number): Uint8Array[] {
  const keys = new Map<number, Uint8Array>();
  while (keys.size < 2 ** bits) {
    const key = randomKey();
    keys.set(Math.floor((kadPoint(key).high / 2 ** 24) * 2 ** bits), key);
  }
  return [...keys.values()];
}
