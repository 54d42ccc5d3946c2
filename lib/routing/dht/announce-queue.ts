import { setImmediate as nextTurn } from 'node:timers/promises';
import { delay } from '../../base/abortable.ts';
import { Backoff } from '../../base/backoff.ts';
import type { WirePeer } from '../wire-peer.ts';
import type { DhtClient } from './client.ts';
import {
  BATCH_RETRY,
  MAX_BATCH_FAILURES,
  MAX_PEERS_SENT_TO,
  RECORDS_PER_BATCH,
} from './constants.ts';
import { type KadPoint, kadPoint, MULTIHASH_BYTES, multihashOf } from './keys.ts';
import { announcementEncoder } from './message.ts';
import type { TablePeer } from './routing-table.ts';

/** A key that this node provides. */
export interface ProvidedKey {
  readonly multihash: Uint8Array;
  readonly point: KadPoint;
  /** Distance of the farthest peer that holds the record. A peer that joins nearer gets it, too. */
  radius: number;
  /** When `radius` is computed again, on the monotonic clock in ms. */
  measureAt: number;
  isWithdrawn: boolean;
}

export function providedKey(text: string): ProvidedKey {
  const multihash = multihashOf(text);
  return { multihash, point: kadPoint(multihash), radius: 0, measureAt: 0, isWithdrawn: false };
}

/** The records that one peer is still to be sent. Fresh keys overtake those of a refresh. */
class Outbox {
  peer: TablePeer;
  /** Batches that failed in a row. */
  failures = 0;
  /** True while it waits in the queue or is being sent. */
  isQueued = false;
  readonly #fresh = new Set<ProvidedKey>();
  readonly #refreshed = new Set<ProvidedKey>();

  constructor(peer: TablePeer) {
    this.peer = peer;
  }

  get size(): number {
    return this.#fresh.size + this.#refreshed.size;
  }

  add(key: ProvidedKey, isFresh: boolean): void {
    if (isFresh) this.#fresh.add(key);
    else if (!this.#fresh.has(key)) this.#refreshed.add(key);
  }

  /**
   * The keys of the next batch, without withdrawn ones. They stay in the outbox until `markSent`.
   */
  batch(): ProvidedKey[] {
    const batch: ProvidedKey[] = [];
    for (const keys of [this.#fresh, this.#refreshed]) {
      for (const key of keys) {
        if (batch.length === RECORDS_PER_BATCH) return batch;
        if (key.isWithdrawn) keys.delete(key);
        else batch.push(key);
      }
    }
    return batch;
  }

  markSent(batch: readonly ProvidedKey[]): void {
    for (const key of batch) {
      this.#fresh.delete(key);
      this.#refreshed.delete(key);
    }
  }

  clear(): void {
    this.#fresh.clear();
    this.#refreshed.clear();
  }
}

export interface AnnounceQueueParts {
  readonly client: DhtClient;
  /** This node, with the addresses that it announces now. */
  readonly self: () => WirePeer;
  /** Called for a peer that did not take a batch. */
  readonly onFailure: (peer: TablePeer) => void;
  /** Called for a peer whose queue was dropped after too many failures. */
  readonly onGivenUp: (peer: TablePeer) => void;
  readonly validityMs: number;
}

/**
 * Sends provider records to the peers that hold them. Each peer has an outbox, from which one
 * acknowledged batch follows another; a bounded number of peers is sent to at the same time.
 */
export class AnnounceQueue {
  readonly #parts: AnnounceQueueParts;
  readonly #outboxes = new Map<string, Outbox>();
  readonly #queue: Outbox[] = [];
  readonly #stop = new AbortController();
  #sending = 0;

  constructor(parts: AnnounceQueueParts) {
    this.#parts = parts;
  }

  add(peer: TablePeer, key: ProvidedKey, isFresh: boolean): void {
    let outbox = this.#outboxes.get(peer.peerId);
    if (outbox === undefined) {
      outbox = new Outbox(peer);
      this.#outboxes.set(peer.peerId, outbox);
    }
    outbox.peer = peer;
    outbox.add(key, isFresh);
    this.#enqueue(outbox);
  }

  /** Drops the queue of a peer that is gone. */
  forget(peerId: string): void {
    this.#outboxes.get(peerId)?.clear();
    this.#outboxes.delete(peerId);
  }

  stop(): void {
    this.#stop.abort(new Error('router stopped'));
    for (const peerId of [...this.#outboxes.keys()]) this.forget(peerId);
  }

  #enqueue(outbox: Outbox): void {
    if (outbox.isQueued) return;
    outbox.isQueued = true;
    this.#queue.push(outbox);
    // After the caller has added its other keys for this peer, so that they travel together.
    if (this.#sending < MAX_PEERS_SENT_TO) queueMicrotask(() => this.#sendQueued());
  }

  #sendQueued(): void {
    while (this.#sending < MAX_PEERS_SENT_TO && !this.#stop.signal.aborted) {
      const outbox = this.#queue.shift();
      if (outbox === undefined) return;
      this.#sending++;
      void this.#sendBatch(outbox).then(async (isSent) => {
        this.#sending--;
        this.#sendQueued();
        if (!isSent) await this.#waitAfterFailure(outbox);
        outbox.isQueued = false;
        if (outbox.size > 0) this.#enqueue(outbox);
      });
    }
  }

  /** Resolves with whether the peer took one batch. Never rejects. */
  async #sendBatch(outbox: Outbox): Promise<boolean> {
    const batch = outbox.batch();
    if (batch.length === 0) return true;
    const seconds = Math.round(this.#parts.validityMs / 1000);
    const encode = announcementEncoder(this.#parts.self(), seconds, MULTIHASH_BYTES);
    try {
      await this.#parts.client.announce(
        outbox.peer,
        batch.map((key) => encode(key.multihash)),
      );
      outbox.markSent(batch);
      outbox.failures = 0;
      await nextTurn();
      return true;
    } catch {
      return false;
    }
  }

  /** Waits before the next attempt; other peers are sent to meanwhile. Never rejects. */
  async #waitAfterFailure(outbox: Outbox): Promise<void> {
    const { signal } = this.#stop;
    if (signal.aborted) return;
    outbox.failures++;
    this.#parts.onFailure(outbox.peer);
    if (outbox.failures >= MAX_BATCH_FAILURES) {
      outbox.failures = 0;
      outbox.clear();
      this.#parts.onGivenUp(outbox.peer);
      return;
    }
    await delay(new Backoff(BATCH_RETRY, outbox.failures - 1).next(), signal).catch(() => {});
  }
}
