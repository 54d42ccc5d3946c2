import type { IdentifyResult, Libp2p, PeerId } from '@libp2p/interface';
import { delay } from '../../base/abortable.ts';
import { ConcurrencyLimit } from '../../base/concurrency-limit.ts';
import type { Held } from '../../peers/held.ts';
import {
  AGENT_PREFIX,
  DHT_PROTOCOL,
  MAX_ADDRESSES_PER_PEER,
  PROVIDERS_PROTOCOL,
  TRACKER_PROTOCOL,
} from '../constants.ts';
import type { DhtClient } from '../dht/client.ts';
import { kadPoint } from '../dht/keys.ts';
import type { RoutingTable, TablePeer } from '../dht/routing-table.ts';
import { identifyPeer } from '../transport/node.ts';
import {
  CHECK_AGAIN_MS,
  CHECK_PING_MS,
  CHECKS_BEFORE_GONE,
  GOODBYE_MS,
  IDENTIFY_AGAIN_MS,
  IDENTIFY_EVENT_MS,
  MAX_GOODBYES_AT_ONCE,
  MAX_MEMBER_DIALS,
  MEMBER_DIAL_MS,
  STAYS_AFTER_GOODBYE_MS,
} from './constants.ts';
import { Departures } from './departures.ts';
import { Discovery } from './discovery.ts';
import { LostPeers } from './lost-peers.ts';

export interface MembershipParts {
  readonly libp2p: Libp2p;
  readonly table: RoutingTable;
  readonly client: DhtClient;
  readonly peersTold: number;
  /** True if this node announces loopback. */
  readonly isOnLoopback: () => boolean;
  /** Called when a peer names this node at an address that is not this host's. */
  readonly onSelf: (addresses: readonly Uint8Array[]) => void;
  readonly onJoined: (peer: TablePeer) => void;
  /** Called for a peer of the table that is connected again after its connection was lost. */
  readonly onReturned: (peer: TablePeer) => void;
  readonly onLeft: (peer: TablePeer) => void;
}

/**
 * Keeps the routing table true: a peer that identifies as speaking our protocol is in; a peer that
 * says goodbye or stops answering is out. kad-dht's own table never drops dead peers, and each
 * lookup without a result would wait for them.
 */
export class Membership {
  readonly #parts: MembershipParts;
  readonly #stop = new AbortController();
  /** Peers of the table whose connection ended. */
  readonly #disconnectedPeers = new Set<string>();
  readonly #checking = new Set<string>();
  readonly #dials = new ConcurrencyLimit(MAX_MEMBER_DIALS);
  readonly #lostPeers: LostPeers;
  readonly #departures = new Departures();
  readonly #discovery: Discovery;

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
    this.#lostPeers = new LostPeers((peers) => this.#discovery.dialAll(peers));
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
    void this.#lostPeers.redialInTurn(signal);
  }

  stop(): void {
    this.#stop.abort(new Error('router stopped'));
  }

  /**
   * Stops dialling, and says goodbye to all connected peers of ours. Resolves within GOODBYE_MS;
   * never rejects.
   */
  async leave(): Promise<void> {
    this.stop();
    const { table, client } = this.#parts;
    const connected = [...table.all()].filter((peer) => peer.isOurs && client.isConnected(peer));
    const next = connected.values();
    const end = performance.now() + GOODBYE_MS;
    const work = async () => {
      for (const peer of next) {
        const restMs = Math.floor(end - performance.now());
        if (restMs <= 0) return;
        await client.leave(peer, restMs).catch(() => {});
      }
    };
    await Promise.all(Array.from({ length: MAX_GOODBYES_AT_ONCE }, work));
  }

  /** Whether a former peer of the table is gone, whatever other peers say about it. */
  isGone(peerId: string): boolean {
    return this.#lostPeers.has(peerId) || this.#departures.has(peerId);
  }

  /** Checks whether a peer that failed or was silent is still there. */
  suspect(peer: TablePeer): void {
    void this.#check(peer);
  }

  /** A peer said goodbye. */
  peerLeaves(peerId: string): void {
    const { table, libp2p } = this.#parts;
    const peer = table.get(peerId);
    if (peer === undefined) return;
    // The connections stay open: a pull that the peer still serves may need an answer of ours.
    const connections = new Set(libp2p.getConnections(peer.id).map(({ id }) => id));
    this.#remove(peer);
    this.#departures.add(peerId, connections);
    // A second process with the same key may have said goodbye: then the peer itself stays.
    void this.#identifyAgain(peer.id, [STAYS_AFTER_GOODBYE_MS]);
  }

  /** What is held against peers now. */
  held(): Held[] {
    return this.#discovery.held();
  }

  /** Asks a peer of a bootstrap list for others: it may know another part of the network. */
  exploreFrom(peerId: string): void {
    const peer = this.#parts.table.get(peerId);
    if (peer !== undefined) void this.#discovery.explore(peer);
  }

  #identified({
    peerId: id,
    protocols,
    agentVersion,
    listenAddrs,
    connection,
  }: IdentifyResult): void {
    if (!protocols.includes(DHT_PROTOCOL)) return;
    const peerId = id.toString();
    // The peer is leaving.
    if (this.#departures.wasUnderWay(peerId, connection)) return;
    const idBytes = id.toMultihash().bytes;
    const peer: TablePeer = {
      id,
      peerId,
      idBytes,
      point: kadPoint(idBytes),
      isOurs: agentVersion?.startsWith(AGENT_PREFIX) === true,
      hasTracker: protocols.includes(TRACKER_PROTOCOL),
      hasProviders: protocols.includes(PROVIDERS_PROTOCOL),
      addresses: listenAddrs.slice(0, MAX_ADDRESSES_PER_PEER).map(({ bytes }) => bytes),
    };
    const wasDisconnected = this.#disconnectedPeers.delete(peerId);
    const wasLost = this.#lostPeers.delete(peerId);
    this.#departures.delete(peerId);
    this.#removeFormerIds(peer);
    if (this.#parts.table.add(peer)) {
      this.#parts.onJoined(peer);
      this.#discovery.joined(peer);
    } else if (wasDisconnected) this.#parts.onReturned(peer);
    if (wasLost) void this.#lostPeers.redialAll();
    // The event may come after the end of the connection, which is not reported again.
    if (!this.#parts.client.isConnected(peer)) this.#disconnected(id);
  }

  /**
   * Identifies a connected peer after each of the waits until it is in the table, and closes its
   * connections if that fails. libp2p asks only once, for five seconds, and a connection without an
   * answer prevents every new one: two busy hosts would never know each other. Never rejects.
   */
  async #identifyAgain(id: PeerId, waitsMs: readonly number[]): Promise<void> {
    const { libp2p, table, client } = this.#parts;
    const peerId = id.toString();
    try {
      for (const ms of waitsMs) {
        await delay(ms, this.#stop.signal);
        const connection = libp2p.getConnections(id).at(-1);
        if (connection === undefined || table.get(peerId) !== undefined) return;
        await identifyPeer(libp2p, connection).catch(() => {});
      }
      await delay(IDENTIFY_EVENT_MS, this.#stop.signal);
      const isLeaving = this.#departures.has(peerId);
      if (table.get(peerId) === undefined && !isLeaving) client.hangUp({ id });
    } catch {
      // The router has stopped.
    }
  }

  /** Removes peers that had this peer's addresses: a host that was set up anew has a new id. */
  #removeFormerIds(peer: TablePeer): void {
    for (const other of this.#parts.table.withAddressOf(peer)) {
      if (!this.#parts.client.isConnected(other)) this.#remove(other);
    }
  }

  #disconnected(id: PeerId): void {
    const peer = this.#parts.table.get(id.toString());
    if (peer === undefined) return;
    this.#disconnectedPeers.add(peer.peerId);
    void this.#check(peer);
  }

  /** Checks a peer a few times, and removes it if it never answers. Never rejects. */
  async #check(peer: TablePeer): Promise<void> {
    const { table, client } = this.#parts;
    if (this.#checking.has(peer.peerId) || table.get(peer.peerId) === undefined) return;
    this.#checking.add(peer.peerId);
    try {
      for (let failures = 0; failures < CHECKS_BEFORE_GONE; failures++) {
        await delay(CHECK_AGAIN_MS * (0.5 + Math.random()), this.#stop.signal);
        if (await this.#isAlive(peer)) return;
        // After one of the two hosts has moved, the connection is dead and the peer alive: the last
        // check needs a new connection. Not earlier, because the handshakes would add load to hosts
        // that are only busy.
        if (failures === CHECKS_BEFORE_GONE - 2) client.hangUp(peer);
      }
      if (this.#stop.signal.aborted || !this.#remove(peer)) return;
      this.#lostPeers.add(peer);
      // The peer may have connected again just now. It identifies itself only on a new connection.
      client.hangUp(peer);
    } catch {
      // The router has stopped.
    } finally {
      this.#checking.delete(peer.peerId);
    }
  }

  /** Never rejects. */
  async #isAlive(peer: TablePeer): Promise<boolean> {
    const { client } = this.#parts;
    // A peer that has moved connects by itself while the dial to its old address fails.
    if (!client.isConnected(peer)) return (await this.#dial(peer)) || client.isConnected(peer);
    return client.ping(peer, CHECK_PING_MS).then(
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

  /**
   * Resolves with whether the peer is connected now. Its identify, which follows, adds it to the
   * table. Never rejects.
   */
  async #dial(peer: Pick<TablePeer, 'peerId' | 'addresses'>): Promise<boolean> {
    return this.#dials.run(async () => {
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(MEMBER_DIAL_MS)]);
      try {
        await this.#parts.client.dial(peer, signal);
        return true;
      } catch {
        return false;
      }
    });
  }
}
