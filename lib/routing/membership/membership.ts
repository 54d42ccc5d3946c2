import type { IdentifyResult, Libp2p, PeerId } from '@libp2p/interface';
import { delay } from '../../base/abortable.ts';
import { Backoff } from '../../base/backoff.ts';
import { ConcurrencyLimit } from '../../base/concurrency-limit.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import {
  AGENT_PREFIX,
  DHT_PROTOCOL,
  MAX_ADDRESSES_PER_PEER,
  TRACKER_PROTOCOL,
} from '../constants.ts';
import type { DhtClient } from '../dht/client.ts';
import { kadPoint } from '../dht/keys.ts';
import type { RoutingTable, TablePeer } from '../dht/routing-table.ts';
import { identifyPeer } from '../transport/node.ts';
import { Discovery } from './discovery.ts';
import { LostPeers } from './lost-peers.ts';

export interface MembershipParts {
  readonly libp2p: Libp2p;
  readonly table: RoutingTable;
  readonly client: DhtClient;
  readonly peersTold: number;
  /** True where this node announces loopback. */
  readonly isOnLoopback: () => boolean;
  /** A peer tells of this node at an address that is not this host's. */
  readonly onSelf: (addresses: readonly Uint8Array[]) => void;
  readonly onJoined: (peer: TablePeer) => void;
  /** Connected again after the connection was lost. */
  readonly onReturned: (peer: TablePeer) => void;
  readonly onLeft: (peer: TablePeer) => void;
}

/** A peer that does not answer this often in a row is gone; once may be a restart, a pause or a lost packet. */
const CHECKS_BEFORE_GONE = 3;
/** Between two checks. */
const RECHECK_MS = 700;
/** A busy host answers later than that only if it stands still. */
const PING_MS = 2_500;
const DIAL_MS = 3_000;
/** Peers that went without a word dialled again per turn, and the time between two turns. */
const ABSENT_PER_TURN = 4;
const REACH_OUT = { minMs: 1_000, maxMs: 30_000 };
/** Who said that he goes is not offered for so long; if he comes back he says so himself. */
const DEPARTED_MS = 60_000;
const MAX_DEPARTED = 1_000;
/** When a peer that is connected, and unknown, is asked who it is once more. */
const IDENTIFY_AGAIN_MS = [2_000, 6_000, 15_000];
/** From an answer to its event. */
const IDENTIFIED_MS = 1_000;
/** Who stops lets running transfers end for ten seconds. */
const STAYS_MS = 20_000;
/** Of our own: more would stand in libp2p's queue, where their time runs out. */
const MAX_DIALS = 48;
/** For all goodbyes together: stopping must not take long, and a peer that does not hear it finds out by itself. */
const GOODBYE_MS = 2_000;
const MAX_GOODBYES_AT_ONCE = 64;

/**
 * Keeps the table true: who identifies as speaking our protocol is in; who says that he goes, or does not answer any
 * more, is out. kad-dht's own table never evicts the dead, and a miss would wait for them.
 */
export class Membership {
  readonly #parts: MembershipParts;
  readonly #stop = new AbortController();
  readonly #disconnectedPeers = new Set<string>();
  readonly #checking = new Set<string>();
  readonly #dials = new ConcurrencyLimit(MAX_DIALS);
  readonly #lostPeers = new LostPeers();
  readonly #departed = new ExpiringMap<true>(MAX_DEPARTED);
  readonly #reconnectBackoff = new Backoff(REACH_OUT);
  readonly #discovery: Discovery;
  #isReconnectingAll = false;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
    this.#discovery = new Discovery({
      table: parts.table,
      client: parts.client,
      peersTold: parts.peersTold,
      isOnLoopback: parts.isOnLoopback,
      onSelf: parts.onSelf,
      selfId: parts.libp2p.peerId.toMultihash().bytes,
      dial: (peer) => this.#dial(peer),
    });
  }

  start(): void {
    const { libp2p } = this.#parts;
    const { signal } = this.#stop;
    const on = { signal };
    libp2p.addEventListener('peer:identify', ({ detail }) => this.#identified(detail), on);
    libp2p.addEventListener(
      'peer:connect',
      ({ detail }) => void this.#identifyAgain(detail, IDENTIFY_AGAIN_MS),
      on,
    );
    libp2p.addEventListener('peer:disconnect', ({ detail }) => this.#disconnected(detail), on);
    void this.#discovery.run(signal);
    void this.#reconnectLost(signal);
  }

  stop(): void {
    this.#stop.abort(new Error('router stopped'));
  }

  /** Tells all peers of ours that this node is about to stop; from now on nobody is dialled. Resolves within some four seconds. */
  async leave(): Promise<void> {
    this.stop();
    const { table, client } = this.#parts;
    const connected = [...table.all()].filter((peer) => peer.isOurs && client.isConnected(peer));
    const next = connected.values();
    const end = performance.now() + GOODBYE_MS;
    const work = async () => {
      for (const peer of next) {
        if (performance.now() > end) return;
        await client.leave(peer, GOODBYE_MS).catch(() => {});
      }
    };
    await Promise.all(Array.from({ length: MAX_GOODBYES_AT_ONCE }, work));
  }

  /** Whether a peer that was in the table has gone: whatever others say of it, it is not to be asked for anything. */
  isGone(peer: string): boolean {
    return this.#lostPeers.has(peer) || this.#departed.get(peer) === true;
  }

  /** A peer failed a question, or was silent: find out whether it is still there. */
  suspect(peer: TablePeer): void {
    void this.#check(peer);
  }

  /** A peer said that it is about to stop. */
  peerLeaves(text: string): void {
    const peer = this.#parts.table.get(text);
    if (peer === undefined) return;
    // The connection stays until it goes itself: a pull that it still serves may have to ask us.
    this.#remove(peer);
    this.#departed.set(text, true, DEPARTED_MS);
    // Who is still there long after he has gone is met again: a second process with his key has said goodbye for him.
    void this.#identifyAgain(peer.id, [STAYS_MS]);
  }

  /** A peer was reached by an address of a list: it may know a part of the network that we do not know. */
  exploreFrom(text: string): void {
    const peer = this.#parts.table.get(text);
    if (peer !== undefined) void this.#discovery.explore(peer);
  }

  #identified({ peerId, protocols, agentVersion, listenAddrs }: IdentifyResult): void {
    if (!protocols.includes(DHT_PROTOCOL)) return;
    const idBytes = peerId.toMultihash().bytes;
    const peer: TablePeer = {
      id: peerId,
      peerId: peerId.toString(),
      idBytes,
      point: kadPoint(idBytes),
      isOurs: agentVersion?.startsWith(AGENT_PREFIX) === true,
      hasTracker: protocols.includes(TRACKER_PROTOCOL),
      addresses: listenAddrs.slice(0, MAX_ADDRESSES_PER_PEER).map(({ bytes }) => bytes),
    };
    const wasLost = this.#disconnectedPeers.delete(peer.peerId);
    const wasAbsent = this.#lostPeers.delete(peer.peerId);
    this.#departed.delete(peer.peerId);
    this.#removeFormerIds(peer);
    if (this.#parts.table.add(peer)) {
      this.#parts.onJoined(peer);
      this.#discovery.joined(peer);
    } else if (wasLost) this.#parts.onReturned(peer);
    if (wasAbsent) void this.#reconnectAll();
    // What it said came after the end of its connection, which nobody will tell again.
    if (!this.#parts.client.isConnected(peer)) this.#disconnected(peerId);
  }

  /**
   * libp2p asks once who is at the other end, for five seconds, and a connection without an answer bars every new one:
   * two busy hosts would not know each other for as long as they run. Asked again and in vain, it ends. Never rejects.
   */
  async #identifyAgain(id: PeerId, afterMs: readonly number[]): Promise<void> {
    const { libp2p, table, client } = this.#parts;
    const text = id.toString();
    try {
      for (const ms of afterMs) {
        await delay(ms, this.#stop.signal);
        const connection = libp2p.getConnections(id).at(-1);
        if (connection === undefined || table.get(text) !== undefined) return;
        await identifyPeer(libp2p, connection).catch(() => {});
      }
      await delay(IDENTIFIED_MS, this.#stop.signal);
      const isLeaving = this.#departed.get(text) === true;
      if (table.get(text) === undefined && !isLeaving) client.hangUp({ id });
    } catch {
      // stopped
    }
  }

  /** A host that was set up anew has its old address and a new id: whoever was known there before is no more. */
  #removeFormerIds(peer: TablePeer): void {
    for (const other of this.#parts.table.withAddressOf(peer)) {
      if (!this.#parts.client.isConnected(other)) this.#remove(other);
    }
  }

  /** Dials a few of those that are away, soon after one went and then ever more rarely. Never rejects. */
  async #reconnectLost(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(this.#reconnectBackoff.next(), signal).catch(() => {});
      if (!signal.aborted) await this.#discovery.dialAll(this.#lostPeers.next(ABSENT_PER_TURN));
    }
  }

  /** One that was away is back: what parted us from it may be over for the others, too. */
  async #reconnectAll(): Promise<void> {
    if (this.#isReconnectingAll) return;
    this.#isReconnectingAll = true;
    await this.#discovery.dialAll(this.#lostPeers.all());
    this.#isReconnectingAll = false;
  }

  #disconnected(id: PeerId): void {
    const peer = this.#parts.table.get(id.toString());
    if (peer === undefined) return;
    this.#disconnectedPeers.add(peer.peerId);
    void this.#check(peer);
  }

  /** Asks a peer for a sign of life, a few times; without one it leaves the table. Never rejects. */
  async #check(peer: TablePeer): Promise<void> {
    if (this.#checking.has(peer.peerId) || this.#parts.table.get(peer.peerId) === undefined) return;
    this.#checking.add(peer.peerId);
    try {
      for (let silences = 0; silences < CHECKS_BEFORE_GONE; silences++) {
        await delay(RECHECK_MS * (0.5 + Math.random()), this.#stop.signal);
        if (await this.#isAlive(peer)) return;
        // The connection may be dead and the peer alive, for one of us has moved: the last check makes a new one. Not
        // before: with hosts that are only busy, new handshakes would make them busier.
        if (silences === CHECKS_BEFORE_GONE - 2) this.#parts.client.hangUp(peer);
      }
      if (this.#stop.signal.aborted || !this.#remove(peer)) return;
      this.#lostPeers.add(peer);
      this.#reconnectBackoff.reset();
      // It may have come back a moment ago, too late: on a connection that stays nobody would tell us again who it is.
      this.#parts.client.hangUp(peer);
    } catch {
      // stopped
    } finally {
      this.#checking.delete(peer.peerId);
    }
  }

  /** Never rejects. */
  async #isAlive(peer: TablePeer): Promise<boolean> {
    const { client } = this.#parts;
    // One that has moved comes by itself, while it is dialled in vain at the address where it was.
    if (!client.isConnected(peer)) return (await this.#dial(peer)) || client.isConnected(peer);
    return client.ping(peer, PING_MS).then(
      () => true,
      () => false,
    );
  }

  #remove(peer: TablePeer): boolean {
    const { table, client, onLeft } = this.#parts;
    if (!table.delete(peer.peerId)) return false;
    this.#disconnectedPeers.delete(peer.peerId);
    this.#discovery.left(peer.peerId);
    client.forget(peer.peerId);
    onLeft(peer);
    return true;
  }

  /** True when the peer is connected now. Identify, which follows, brings it into the table. Never rejects. */
  async #dial(peer: Pick<TablePeer, 'peerId' | 'addresses'>): Promise<boolean> {
    return this.#dials.run(async () => {
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(DIAL_MS)]);
      try {
        await this.#parts.client.dial(peer, signal);
        return true;
      } catch {
        return false;
      }
    });
  }
}
