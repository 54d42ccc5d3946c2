import { randomUUID } from 'node:crypto';
import { delay } from '../../base/abortable.ts';
import { Backoff } from '../../base/backoff.ts';
import { shuffled } from '../../base/shuffled.ts';
import { RULES } from '../../peers/constants.ts';
import type { Held } from '../../peers/held.ts';
import { Strikes } from '../../peers/strikes.ts';
import { REPLICATION } from '../constants.ts';
import type { DhtClient } from '../dht/client.ts';
import { distance, kadPoint, MAX_DISTANCE, multihashOf } from '../dht/keys.ts';
import type { RoutingTable, TablePeer } from '../dht/routing-table.ts';
import { peerIdText, type WirePeer } from '../wire-peer.ts';
import {
  DISCOVERY_DIALS,
  DISCOVERY_RETRY,
  EXPECTED_SHARE,
  MAX_PARTS,
  NEWCOMERS_ASKED,
  UNKNOWN_SHARE,
} from './constants.ts';
import { ReferralLimits, type ReferredPeer } from './referral-limits.ts';

export interface DiscoveryParts {
  readonly table: RoutingTable;
  readonly client: DhtClient;
  /** This node's peer id as multihash. */
  readonly selfId: Uint8Array;
  /**
   * Resolves with whether the peer is connected now; its identify, which follows, adds it to the
   * table. Never rejects.
   */
  readonly dial: (peer: Pick<TablePeer, 'peerId' | 'addresses'>) => Promise<boolean>;
  /** How many peers one of ours names at most: a longer table needs several answers. */
  readonly peersTold: number;
  /** True if this node announces loopback: its peers are on the same machine. */
  readonly isOnLoopback: () => boolean;
  /** Called when a peer names this node at an address that is not this host's. */
  readonly onSelf: (addresses: readonly Uint8Array[]) => void;
}

/**
 * Asks peers which others they know, and dials the new ones. kad-dht's own table fills unevenly.
 */
export class Discovery {
  readonly #parts: DiscoveryParts;
  readonly #dialling = new Set<string>();
  /** Peers that left or could not be reached. */
  readonly #unreachable = new Strikes(RULES.unreachable);
  readonly #backoff = new Backoff(DISCOVERY_RETRY);
  readonly #referrals: ReferralLimits;
  #isAskingAll = false;

  constructor(parts: DiscoveryParts) {
    this.#parts = parts;
    this.#referrals = new ReferralLimits(parts.isOnLoopback);
  }

  /**
   * Asks random peers, often while that brings new peers, then ever more rarely: a peer through
   * which two nodes join at the same time may know neither of them at first. Ends with the signal;
   * never rejects.
   */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(this.#backoff.next(), signal).catch(() => {});
      if (signal.aborted) return;
      const peer = this.#randomPeer();
      if (peer === undefined || (await this.explore(peer)) > 0) this.#backoff.reset();
    }
  }

  /**
   * A peer joined the table. A share of them is asked: each may know another part of the network.
   */
  joined(peer: TablePeer): void {
    this.#unreachable.forget(peer.peerId);
    if (Math.random() * this.#parts.table.size < NEWCOMERS_ASKED) void this.explore(peer);
  }

  /** What is held against peers now. */
  held(): Held[] {
    return this.#unreachable.held();
  }

  /** A peer left the table: it is not dialled for a while, even if other peers name it. */
  left(peerId: string): void {
    this.#unreachable.add(peerId, { peerId }, 'left');
  }

  /**
   * Asks a peer which peers it knows and dials the unknown ones; in a large fleet, then other peers
   * for the rest. Resolves with how many peers of the first answer were reached; never rejects.
   */
  async explore(peer: TablePeer): Promise<number> {
    const { table, selfId, peersTold } = this.#parts;
    // Go Spegel names k peers to every asker.
    const limit = peer.isOurs ? peersTold : REPLICATION;
    // A small fleet fits into one answer. In a larger one, each question is for another part.
    const key = table.size < limit / 2 ? selfId : randomKey();
    const { named, unknown } = await this.#ask(peer, key, limit);
    const reached = await this.#dialReferred(peer, unknown);
    const isFull = named.length >= limit;
    if (isFull && unknown.length > UNKNOWN_SHARE * named.length) {
      await this.#askForAllParts(partBits(fleetSize(key, named), limit * EXPECTED_SHARE));
    }
    return reached;
  }

  /** Asks for all parts of the key space, a random peer for each. */
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
  ): Promise<{ named: readonly WirePeer[]; unknown: ReferredPeer[] }> {
    try {
      const { closer } = await this.#parts.client.findNode(peer, key);
      const dialable = this.#referrals.dialablePeers(this.#referrerOf(peer), closer);
      const selfId = peerIdText(this.#parts.selfId);
      const self = dialable.find(({ peerId }) => peerId === selfId);
      if (self !== undefined) this.#parts.onSelf(self.addresses);
      const unknown = dialable.filter(({ peerId }) => this.#isUnknown(peerId));
      // A random choice of no more than an honest peer names: made-up names take time to dial.
      return { named: closer, unknown: shuffled(unknown).slice(0, limit) };
    } catch {
      // Nothing waits for this answer, so the failure is ignored: lookups find out whether it
      // lives.
      return { named: [], unknown: [] };
    }
  }

  #randomPeer(): TablePeer | undefined {
    const peers = [...this.#parts.table.all()];
    return peers[Math.floor(Math.random() * peers.length)];
  }

  /** How a referring peer is counted: by its address, or on one machine by its id. */
  #referrerOf(peer: TablePeer): string {
    const [ip] = this.#parts.isOnLoopback() ? [] : this.#parts.client.remoteIpsOf(peer);
    return ip ?? peer.peerId;
  }

  /**
   * Dials peers that this node knew itself. Resolves with how many were reached; never rejects.
   */
  dialAll(peers: readonly Pick<TablePeer, 'peerId' | 'addresses'>[]): Promise<number> {
    return countTrue(peers, (peer) => this.#dial(peer));
  }

  /**
   * Dials the peers that another one named, within its limits. Resolves with how many were reached;
   * never rejects.
   */
  #dialReferred(referrer: TablePeer, peers: readonly ReferredPeer[]): Promise<number> {
    const name = this.#referrerOf(referrer);
    return countTrue(peers, async (peer) => {
      if (!this.#referrals.allowDial(name)) return false;
      const isReached = await this.#dial(peer);
      if (!isReached && !this.#parts.client.isConnectedTo(peer.peerId))
        this.#referrals.dialFailed(name);
      return isReached;
    });
  }

  async #dial(peer: Pick<TablePeer, 'peerId' | 'addresses'>): Promise<boolean> {
    const { client, dial } = this.#parts;
    // A connected peer that is not in the table has not identified itself yet: a dial does not
    // help.
    if (this.#dialling.has(peer.peerId) || client.isConnectedTo(peer.peerId)) return false;
    this.#dialling.add(peer.peerId);
    const isReached = await dial(peer);
    this.#dialling.delete(peer.peerId);
    if (!isReached) this.#unreachable.add(peer.peerId, { peerId: peer.peerId }, 'dialled in vain');
    return isReached;
  }

  #isUnknown(peerId: string): boolean {
    const { table, selfId } = this.#parts;
    return (
      table.get(peerId) === undefined &&
      peerId !== peerIdText(selfId) &&
      !this.#unreachable.has(peerId)
    );
  }
}

/** Runs `work` for all items, DISCOVERY_DIALS at a time. Resolves with how often it was true. */
async function countTrue<T>(
  items: readonly T[],
  work: (item: T) => Promise<boolean>,
): Promise<number> {
  const next = items.values();
  let count = 0;
  const worker = async () => {
    for (const item of next) if (await work(item)) count++;
  };
  await Promise.all(Array.from({ length: Math.min(DISCOVERY_DIALS, items.length) }, worker));
  return count;
}

const randomKey = () => multihashOf(randomUUID());

/** Estimates the number of peers from the distance of the farthest of the closest ones. */
export function fleetSize(key: Uint8Array, closest: readonly WirePeer[]): number {
  const point = kadPoint(key);
  const farthest = Math.max(1, ...closest.map(({ id }) => distance(point, kadPoint(id))));
  return closest.length * (MAX_DISTANCE / farthest);
}

/** The power of two of parts in which a fleet has `perPart` peers or fewer each. */
export function partBits(size: number, perPart: number): number {
  const parts = Math.min(MAX_PARTS, Math.max(1, size / perPart));
  return Math.ceil(Math.log2(parts));
}

/**
 * One key in each part of the key space. The place of a key is a hash, so they are found by trial.
 */
export function keysOfParts(bits: number): Uint8Array[] {
  const keys = new Map<number, Uint8Array>();
  while (keys.size < 2 ** bits) {
    const key = randomKey();
    keys.set(Math.floor((kadPoint(key).high / 2 ** 24) * 2 ** bits), key);
  }
  return [...keys.values()];
}
