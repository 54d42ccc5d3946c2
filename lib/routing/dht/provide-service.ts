import { setImmediate as nextTurn } from 'node:timers/promises';
import { ExpiringMap } from '../../base/expiring-map.ts';
import { REPLICATION } from '../constants.ts';
import type { WirePeer } from '../wire-peer.ts';
import { AnnounceQueue, type ProvidedKey, providedKey } from './announce-queue.ts';
import type { DhtClient } from './client.ts';
import {
  DISTANCES_PER_TURN,
  FULL_SEND_WINDOW_MS,
  FULL_SENDS_PER_WINDOW,
  MAX_FULL_SENDS_COUNTED,
  PROVIDE_DELAY_MS,
  PROVIDE_PAUSE_MS,
  REFRESH_AFTER,
  STEPS_PER_REFRESH,
} from './constants.ts';
import { bytesKey, distance } from './keys.ts';
import type { RoutingTable, TablePeer } from './routing-table.ts';

export interface ProvideServiceParts {
  readonly table: RoutingTable;
  readonly client: DhtClient;
  readonly self: () => WirePeer;
  readonly onFailure: (peer: TablePeer) => void;
  /** Validity of our records at a peer that does not get them again, in milliseconds. */
  readonly validityMs: number;
}

/**
 * Keeps a provider record of each of this node's keys at the closest peers of the routing table. A
 * fresh key is sent at once, in batches per peer. A peer gets all of its keys again before they
 * expire, peer by peer, so that batches are full in a large fleet as in a small one. A peer that
 * joins, or that lost its memory, gets the keys that it should hold. No query per key is ever sent.
 */
export class ProvideService {
  readonly #parts: ProvideServiceParts;
  readonly #queue: AnnounceQueue;
  readonly #refreshMs: number;
  readonly #stepMs: number;
  readonly #keys = new Map<string, ProvidedKey>();
  readonly #byMultihash = new Map<string, ProvidedKey>();
  readonly #fresh = new Set<string>();
  readonly #newcomers = new Map<string, TablePeer>();
  /** When each peer gets all of its keys again, on the monotonic clock in ms. */
  readonly #nextFullSendAt = new Map<string, number>();
  /** How often each peer got all of its keys at once within the window. */
  readonly #fullSends = new ExpiringMap<{ count: number }>(MAX_FULL_SENDS_COUNTED);
  #workTimer: NodeJS.Timeout | undefined;
  #refreshTimer: NodeJS.Timeout | undefined;
  #isWorking = false;
  #workedAt = Number.NEGATIVE_INFINITY;
  #isStopped = false;

  constructor(parts: ProvideServiceParts) {
    this.#parts = parts;
    // The next refresh sends such a peer everything that it may have missed.
    const onGivenUp = (peer: TablePeer) => void this.#nextFullSendAt.delete(peer.peerId);
    this.#queue = new AnnounceQueue({ ...parts, onGivenUp });
    this.#refreshMs = parts.validityMs * REFRESH_AFTER;
    this.#stepMs = this.#refreshMs / STEPS_PER_REFRESH;
  }

  start(): void {
    this.#refreshTimer = setInterval(() => void this.#refresh(performance.now()), this.#stepMs);
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#refreshTimer);
    clearTimeout(this.#workTimer);
    this.#queue.stop();
  }

  /** Provides keys from now on. Keys that are provided already stay as they are. */
  provide(keys: Iterable<string>): void {
    for (const key of keys) if (!this.#keys.has(key)) this.#fresh.add(key);
    if (this.#fresh.size > 0) this.#scheduleWork();
  }

  /** From now on the keys are neither refreshed nor named in answers. */
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

  /** Whether this node provides the key with this multihash. */
  isProvided(multihash: Uint8Array): boolean {
    return this.#byMultihash.has(bytesKey(multihash));
  }

  /** A peer joined the table, or forgot its records: it gets all keys that it should hold. */
  peerJoined(peer: TablePeer): void {
    // A peer that comes and goes all the time waits for the refresh instead of getting thousands of
    // records each time.
    const sends = this.#fullSends.get(peer.peerId) ?? { count: 0 };
    if (++sends.count > FULL_SENDS_PER_WINDOW) {
      this.#nextFullSendAt.delete(peer.peerId);
      return;
    }
    if (sends.count === 1) this.#fullSends.set(peer.peerId, sends, FULL_SEND_WINDOW_MS);
    this.#newcomers.set(peer.peerId, peer);
    this.#scheduleWork();
  }

  /**
   * A peer is connected again. One key tells whether it was restarted and lost its records. Never
   * rejects.
   */
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

  peerLeft(peerId: string): void {
    this.#newcomers.delete(peerId);
    this.#nextFullSendAt.delete(peerId);
    this.#queue.forget(peerId);
  }

  #someKeyFor(peer: TablePeer): ProvidedKey | undefined {
    for (const key of this.#keys.values()) {
      if (distance(key.point, peer.point) <= key.radius) return key;
    }
    return undefined;
  }

  #scheduleWork(): void {
    if (this.#isStopped || this.#isWorking) return;
    this.#workTimer ??= setTimeout(
      () => {
        this.#workTimer = undefined;
        void this.#work();
      },
      Math.max(PROVIDE_DELAY_MS, this.#workedAt + PROVIDE_PAUSE_MS - performance.now()),
    );
  }

  /** Sends fresh keys first, then the keys of peers that joined. Never rejects. */
  async #work(): Promise<void> {
    if (this.#isWorking) return;
    this.#isWorking = true;
    this.#workedAt = performance.now();
    try {
      while (!this.#isStopped && this.#fresh.size + this.#newcomers.size > 0) {
        if (this.#fresh.size > 0) this.#sendFresh();
        else await this.#sendToNewcomers();
        await nextTurn();
      }
    } finally {
      this.#isWorking = false;
    }
  }

  #sendFresh(): void {
    const now = performance.now();
    const turn = new TurnBudget();
    for (const text of this.#fresh) {
      if (turn.isSpent(this.#workPerKey())) return;
      this.#fresh.delete(text);
      const key = providedKey(text);
      this.#keys.set(text, key);
      this.#byMultihash.set(bytesKey(key.multihash), key);
      for (const peer of this.#receiversOf(key)) this.#queue.add(peer, key, true);
      // Spread, so that keys of one burst are not measured in one burst.
      key.measureAt = now + this.#refreshMs * (0.5 + Math.random() / 2);
    }
  }

  async #sendToNewcomers(): Promise<void> {
    const peers = [...this.#newcomers.values()];
    this.#newcomers.clear();
    const now = performance.now();
    // Spread, so that peers that joined in one burst are not refreshed in one burst.
    for (const { peerId } of peers) {
      this.#nextFullSendAt.set(peerId, now + this.#refreshMs * (0.5 + Math.random() / 2));
    }
    await this.#sendAllKeys(peers);
  }

  /** Sends all of their keys to the peers that are due, once per interval and peer. */
  async #refresh(now: number): Promise<void> {
    await this.#updateRadii(now);
    const soon = now + this.#stepMs / 2;
    const peers = [...this.#parts.table.all()].filter(
      ({ peerId }) => (this.#nextFullSendAt.get(peerId) ?? 0) <= soon,
    );
    for (const { peerId } of peers) this.#nextFullSendAt.set(peerId, now + this.#refreshMs);
    await this.#sendAllKeys(peers);
  }

  /** Sends each of the peers all keys that it should hold. */
  async #sendAllKeys(peers: readonly TablePeer[]): Promise<void> {
    const turn = new TurnBudget();
    let receivers = peers;
    for (const key of this.#keys.values()) {
      for (const peer of receivers) {
        if (distance(key.point, peer.point) <= key.radius) this.#queue.add(peer, key, false);
      }
      if (turn.isSpent(receivers.length)) {
        await nextTurn();
        // The outbox of a peer that left meanwhile would stay for ever.
        receivers = receivers.filter(({ peerId }) => this.#parts.table.get(peerId) !== undefined);
      }
      if (this.#isStopped || receivers.length === 0) return;
    }
  }

  /**
   * Computes the radius of each key once per interval, and sends the key to peers that came to be
   * within it.
   */
  async #updateRadii(now: number): Promise<void> {
    const turn = new TurnBudget();
    for (const key of this.#keys.values()) {
      if (key.measureAt > now + this.#stepMs / 2) continue;
      const before = key.radius;
      for (const peer of this.#receiversOf(key)) {
        if (distance(key.point, peer.point) > before) this.#queue.add(peer, key, false);
      }
      key.measureAt = now + this.#refreshMs;
      if (turn.isSpent(this.#workPerKey())) await nextTurn();
      if (this.#isStopped) return;
    }
  }

  /** The work of hashing a key and of looking at each peer of the table, in distances. */
  #workPerKey(): number {
    return 100 + this.#parts.table.size;
  }

  /** Returns the peers that should hold a key, and sets its radius. */
  #receiversOf(key: ProvidedKey): TablePeer[] {
    const receivers = this.#parts.table.closest(key.point, REPLICATION);
    const farthest = receivers[REPLICATION - 1];
    key.radius =
      farthest === undefined ? Number.POSITIVE_INFINITY : distance(key.point, farthest.point);
    return receivers;
  }
}

/** Counts the distances computed in one turn of the event loop. */
class TurnBudget {
  #work = 0;

  /** Adds work; true when the turn should end, and then counts from zero. */
  isSpent(work: number): boolean {
    this.#work += work;
    if (this.#work < DISTANCES_PER_TURN) return false;
    this.#work = 0;
    return true;
  }
}
