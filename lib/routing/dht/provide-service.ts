import { setImmediate as nextTurn } from 'node:timers/promises';
import { ExpiringMap } from '../../base/expiring-map.ts';
import { REFRESH_AFTER, REPLICATION } from '../constants.ts';
import type { WirePeer } from '../wire-peer.ts';
import { AnnounceQueue } from './announce-queue.ts';
import type { DhtClient } from './client.ts';
import { bytesKey, distance } from './keys.ts';
import { type ProvidedKey, providedKey } from './own-key.ts';
import type { RoutingTable, TablePeer } from './routing-table.ts';

export interface ProvideServiceParts {
  readonly table: RoutingTable;
  readonly client: DhtClient;
  readonly self: () => WirePeer;
  readonly onFailure: (peer: TablePeer) => void;
  /** How long our records count at peers that do not hear of them again, in milliseconds. */
  readonly validityMs: number;
}

/** Layers of one image, and peers of one join, come in bursts; the first one waits this long for the others. */
const COALESCE_MS = 25;
/** So often in a row a peer is told everything at once: it may be restarted by hand. */
const MAX_FULL_SENDS = 4;
const FULL_SEND_WINDOW_MS = 30_000;
const MAX_PEERS_COUNTED = 10_000;
/** How often it is looked who is due, as a part of the interval: so that the work is spread. */
const TICKS_PER_REFRESH = 14;
/** Distances worked out per turn of the event loop: a few ms, so that a lookup never waits for a start with 50,000 keys. */
const SLICE_DISTANCES = 50_000;

/**
 * Keeps this node's keys announced. For each key the closest peers of the full table are told, in batches per
 * peer; each peer is told its keys again before they expire, peer by peer, so that a batch is as full in a large
 * fleet as in a small one; a peer that joins or lost its memory is told what it should hold. Never a query per key.
 */
export class ProvideService {
  readonly #parts: ProvideServiceParts;
  readonly #queue: AnnounceQueue;
  readonly #refreshMs: number;
  readonly #tickMs: number;
  readonly #keys = new Map<string, ProvidedKey>();
  readonly #byMultihash = new Map<string, ProvidedKey>();
  readonly #fresh = new Set<string>();
  readonly #newcomers = new Map<string, TablePeer>();
  /** When each peer is told all of its keys again, on the monotonic clock in ms. */
  readonly #nextFullSendAt = new Map<string, number>();
  /** How often peers were told everything lately. */
  readonly #fullSends = new ExpiringMap<{ count: number }>(MAX_PEERS_COUNTED);
  #timer: NodeJS.Timeout | undefined;
  #tick: NodeJS.Timeout | undefined;
  #isWorking = false;
  #isStopped = false;

  constructor(parts: ProvideServiceParts) {
    this.#parts = parts;
    // It is told all that it may have missed at the next turn, as soon as it takes something.
    const onGivenUp = (peer: TablePeer) => void this.#nextFullSendAt.delete(peer.peerId);
    this.#queue = new AnnounceQueue({ ...parts, onGivenUp });
    this.#refreshMs = parts.validityMs * REFRESH_AFTER;
    this.#tickMs = this.#refreshMs / TICKS_PER_REFRESH;
  }

  start(): void {
    this.#tick = setInterval(() => void this.#refresh(performance.now()), this.#tickMs);
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#tick);
    clearTimeout(this.#timer);
    this.#queue.stop();
  }

  /** Announces keys; those that are announced already are left as they are. */
  provide(keys: Iterable<string>): void {
    for (const key of keys) if (!this.#keys.has(key)) this.#fresh.add(key);
    if (this.#fresh.size > 0) this.#schedule();
  }

  /** From now on the keys are neither refreshed nor answered. */
  withdraw(keys: Iterable<string>): void {
    for (const text of keys) {
      this.#fresh.delete(text);
      const key = this.#keys.get(text);
      if (key === undefined) continue;
      key.isWithdrawn = true;
      this.#keys.delete(text);
      this.#byMultihash.delete(bytesKey(key.multihash));
    }
  }

  /** Whether this node announces the key with this multihash. */
  isProvided(multihash: Uint8Array): boolean {
    return this.#byMultihash.has(bytesKey(multihash));
  }

  /** A peer joined the table, or forgot what it was told: it gets the records that are its own to hold. */
  peerJoined(peer: TablePeer): void {
    // One that comes and goes all the time costs a turn of the refresh, not thousands of records each time.
    const welcomes = this.#fullSends.get(peer.peerId) ?? { count: 0 };
    if (++welcomes.count > MAX_FULL_SENDS) return void this.#nextFullSendAt.delete(peer.peerId);
    if (welcomes.count === 1) this.#fullSends.set(peer.peerId, welcomes, FULL_SEND_WINDOW_MS);
    this.#newcomers.set(peer.peerId, peer);
    this.#schedule();
  }

  /** A peer is connected again. If it was restarted its records are gone, which one of them tells. */
  async peerReturned(peer: TablePeer): Promise<void> {
    const key = this.#someKeyFor(peer);
    if (key === undefined) return;
    try {
      const { providers } = await this.#parts.client.getProviders(peer, key.multihash);
      const self = this.#parts.self().id;
      if (!providers.some(({ id }) => Buffer.compare(id, self) === 0)) this.peerJoined(peer);
    } catch {
      this.#parts.onFailure(peer);
    }
  }

  peerLeft(peer: string): void {
    this.#newcomers.delete(peer);
    this.#nextFullSendAt.delete(peer);
    this.#queue.forget(peer);
  }

  #someKeyFor(peer: TablePeer): ProvidedKey | undefined {
    for (const key of this.#keys.values()) {
      if (distance(key.point, peer.point) <= key.radius) return key;
    }
    return undefined;
  }

  #schedule(): void {
    if (this.#isStopped || this.#isWorking) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#work();
    }, COALESCE_MS);
  }

  /** Fresh keys first, then what peers that joined should hold. Never rejects. */
  async #work(): Promise<void> {
    if (this.#isWorking) return;
    this.#isWorking = true;
    try {
      while (!this.#isStopped && this.#fresh.size + this.#newcomers.size > 0) {
        if (this.#fresh.size > 0) this.#announceFresh();
        else await this.#tellNewcomers();
        await nextTurn();
      }
    } finally {
      this.#isWorking = false;
    }
  }

  #announceFresh(): void {
    const now = performance.now();
    const pace = new WorkSlice(SLICE_DISTANCES);
    for (const text of this.#fresh) {
      if (pace.isSpent(this.#workPerKey())) return;
      this.#fresh.delete(text);
      const key = providedKey(text);
      this.#keys.set(text, key);
      this.#byMultihash.set(bytesKey(key.multihash), key);
      for (const peer of this.#receiversOf(key)) this.#queue.add(peer, key, true);
      // What was announced in one burst is not looked at again in one.
      key.measureAt = now + this.#refreshMs * (0.5 + Math.random() / 2);
    }
  }

  async #tellNewcomers(): Promise<void> {
    const peers = [...this.#newcomers.values()];
    this.#newcomers.clear();
    const now = performance.now();
    // What came in one burst is not refreshed in one.
    for (const { peerId } of peers) {
      this.#nextFullSendAt.set(peerId, now + this.#refreshMs * (0.5 + Math.random() / 2));
    }
    await this.#tellAll(peers);
  }

  /** Receivers whose turn it is get all of their keys again, full batches on one stream; each once per interval. */
  async #refresh(now: number): Promise<void> {
    await this.#updateRadii(now);
    const soon = now + this.#tickMs / 2;
    const peers = [...this.#parts.table.all()].filter(
      ({ peerId }) => (this.#nextFullSendAt.get(peerId) ?? 0) <= soon,
    );
    for (const { peerId } of peers) this.#nextFullSendAt.set(peerId, now + this.#refreshMs);
    await this.#tellAll(peers);
  }

  /** Sends peers the keys that are theirs to hold. */
  async #tellAll(peers: readonly TablePeer[]): Promise<void> {
    const pace = new WorkSlice(SLICE_DISTANCES);
    let receivers = peers;
    for (const key of this.#keys.values()) {
      for (const peer of receivers) {
        if (distance(key.point, peer.point) <= key.radius) this.#queue.add(peer, key, false);
      }
      if (pace.isSpent(receivers.length)) {
        await nextTurn();
        // An outbox of one that left meanwhile would stay for ever.
        receivers = receivers.filter(({ peerId }) => this.#parts.table.get(peerId) !== undefined);
      }
      if (this.#isStopped || receivers.length === 0) return;
    }
  }

  /** Finds out, for each key once per interval, how far its receivers are; those that came to be among them are told. */
  async #updateRadii(now: number): Promise<void> {
    const pace = new WorkSlice(SLICE_DISTANCES);
    for (const key of this.#keys.values()) {
      if (key.measureAt > now + this.#tickMs / 2) continue;
      const before = key.radius;
      for (const peer of this.#receiversOf(key)) {
        if (distance(key.point, peer.point) > before) this.#queue.add(peer, key, false);
      }
      key.measureAt = now + this.#refreshMs;
      if (pace.isSpent(this.#workPerKey())) await nextTurn();
      if (this.#isStopped) return;
    }
  }

  /** To hash a key, and to look at each peer of the table. */
  #workPerKey(): number {
    return 100 + this.#parts.table.size;
  }

  /** The peers that are to hold a key; notes how far the farthest is. */
  #receiversOf(key: ProvidedKey): TablePeer[] {
    const receivers = this.#parts.table.closest(key.point, REPLICATION);
    const farthest = receivers[REPLICATION - 1];
    key.radius =
      farthest === undefined ? Number.POSITIVE_INFINITY : distance(key.point, farthest.point);
    return receivers;
  }
}

/** Counts work that is done in one go. */
class WorkSlice {
  readonly #most: number;
  #work = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** True when it is time to let others run; then it counts anew. */
  isSpent(work: number): boolean {
    this.#work += work;
    if (this.#work < this.#most) return false;
    this.#work = 0;
    return true;
  }
}
