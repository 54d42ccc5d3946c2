import type { IdentifyResult, Libp2p, PeerId } from '@libp2p/interface';
import { delay } from '../../base/lifecycle.ts';
import { Backoff } from '../../base/retry.ts';
import type { DhtClient } from './client.ts';
import {
  AGENT_PREFIX,
  DHT_PROTOCOL,
  MAX_ADDRESSES_PER_PEER,
  TRACKER_PROTOCOL,
} from './constants.ts';
import { kadPoint } from './keys.ts';
import type { WirePeer } from './message.ts';
import type { PeerTable, TablePeer } from './peer-table.ts';
import { Suspects } from './suspects.ts';
import { peerText } from './wire-peer.ts';

export interface MembershipParts {
  readonly libp2p: Libp2p;
  readonly table: PeerTable;
  readonly client: DhtClient;
  readonly onJoined: (peer: TablePeer) => void;
  /** Connected again after the connection was lost. */
  readonly onReturned: (peer: TablePeer) => void;
  readonly onLeft: (peer: TablePeer) => void;
}

/** A peer that cannot be dialled this often in a row is gone; once may be a restart or a lost packet. */
const DIALS_BEFORE_GONE = 3;
const REDIAL_MS = 700;
const DIAL_MS = 3_000;
/** Peers of hearsay dialled at once. */
const MAX_DIALS = 16;
/** The first peers are all asked whom they know; later a random one is now and then. */
const ASKED_WHEN_YOUNG = 8;
const EXPLORE = { minMs: 250, maxMs: 30_000 };

/**
 * Keeps the table true: who identifies as speaking our protocol is in, whoever cannot be reached any more is
 * out, and peers are asked whom else they know. kad-dht's own table fills unevenly and never evicts the dead.
 */
export class Membership {
  readonly #parts: MembershipParts;
  readonly #stop = new AbortController();
  readonly #lost = new Set<string>();
  readonly #checking = new Set<string>();
  readonly #dialling = new Set<string>();
  /** Peers of hearsay that could not be reached. */
  readonly #dead = new Suspects();
  readonly #exploring = new Backoff(EXPLORE);

  constructor(parts: MembershipParts) {
    this.#parts = parts;
  }

  start(): void {
    const { libp2p } = this.#parts;
    const { signal } = this.#stop;
    const on = { signal };
    libp2p.addEventListener('peer:identify', ({ detail }) => this.#identified(detail), on);
    libp2p.addEventListener('peer:disconnect', ({ detail }) => this.#disconnected(detail), on);
    void this.#exploreOn();
  }

  stop(): void {
    this.#stop.abort(new Error('router stopped'));
  }

  /** A peer failed a question: if it is not even connected, find out whether it is still there. */
  suspect(peer: TablePeer): void {
    if (!this.#parts.client.isConnected(peer)) void this.#check(peer);
  }

  #identified({ peerId, protocols, agentVersion, listenAddrs }: IdentifyResult): void {
    if (!protocols.includes(DHT_PROTOCOL)) return;
    const idBytes = peerId.toMultihash().bytes;
    const peer: TablePeer = {
      id: peerId,
      text: peerId.toString(),
      idBytes,
      point: kadPoint(idBytes),
      ours: agentVersion?.startsWith(AGENT_PREFIX) === true,
      isTracker: protocols.includes(TRACKER_PROTOCOL),
      addresses: listenAddrs.slice(0, MAX_ADDRESSES_PER_PEER).map(({ bytes }) => bytes),
    };
    const wasLost = this.#lost.delete(peer.text);
    this.#dead.answered(peer.text);
    if (this.#parts.table.add(peer)) {
      this.#parts.onJoined(peer);
      if (this.#parts.table.size <= ASKED_WHEN_YOUNG) void this.#explore(peer);
    } else if (wasLost) this.#parts.onReturned(peer);
  }

  #disconnected(id: PeerId): void {
    const peer = this.#parts.table.get(id.toString());
    if (peer === undefined) return;
    this.#lost.add(peer.text);
    void this.#check(peer);
  }

  /** Dials a peer that is not connected; after the last failure it leaves the table. Never rejects. */
  async #check(peer: TablePeer): Promise<void> {
    if (this.#checking.has(peer.text)) return;
    this.#checking.add(peer.text);
    try {
      for (let dial = 0; dial < DIALS_BEFORE_GONE; dial++) {
        await delay(REDIAL_MS * (0.5 + Math.random()), this.#stop.signal);
        if (this.#parts.client.isConnected(peer) || (await this.#dial(peer))) return;
      }
      if (!this.#stop.signal.aborted) this.#remove(peer);
    } catch {
      // stopped
    } finally {
      this.#checking.delete(peer.text);
    }
  }

  #remove(peer: TablePeer): void {
    const { table, client, onLeft } = this.#parts;
    if (!table.delete(peer.text)) return;
    this.#lost.delete(peer.text);
    this.#dead.failed(peer.text);
    client.forget(peer.text);
    onLeft(peer);
  }

  /**
   * Asks random peers whom they know: often after the first peer was met, then ever more rarely. Of two nodes
   * that join through the same peer at once it may know neither yet the first time. Never rejects.
   */
  async #exploreOn(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await delay(this.#exploring.next(), signal).catch(() => {});
      const peers = [...this.#parts.table.all()];
      const peer = peers[Math.floor(Math.random() * peers.length)];
      if (peer !== undefined) await this.#explore(peer);
      else this.#exploring.reset();
    }
  }

  /** Asks a peer for those closest to us, which for one of ours are all it knows, and dials the unknown. Never rejects. */
  async #explore(peer: TablePeer): Promise<void> {
    const { client, libp2p } = this.#parts;
    try {
      const { closer } = await client.findNode(peer, libp2p.peerId.toMultihash().bytes);
      const unknown = closer.filter((found) => this.#isUnknown(found));
      const next = unknown.values();
      await Promise.all(Array.from({ length: MAX_DIALS }, () => this.#dialAll(next)));
    } catch {
      // It failed a question that nobody waits for; lookups find out whether it lives.
    }
  }

  async #dialAll(peers: Iterator<WirePeer> & Iterable<WirePeer>): Promise<void> {
    for (const { id, addresses } of peers) {
      const text = peerText(id);
      if (text === undefined || this.#stop.signal.aborted || this.#dialling.has(text)) continue;
      this.#dialling.add(text);
      if (!(await this.#dial({ text, addresses }))) this.#dead.failed(text);
      this.#dialling.delete(text);
    }
  }

  #isUnknown({ id, addresses }: WirePeer): boolean {
    const text = peerText(id);
    if (text === undefined || addresses.length === 0) return false;
    if (text === this.#parts.libp2p.peerId.toString()) return false;
    return this.#parts.table.get(text) === undefined && !this.#dead.has(text);
  }

  /** True when the peer is connected now. Identify, which follows, brings it into the table. */
  async #dial(peer: Pick<TablePeer, 'text' | 'addresses'>): Promise<boolean> {
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(DIAL_MS)]);
    try {
      await this.#parts.client.dial(peer, signal);
      return true;
    } catch {
      return false;
    }
  }
}
