import { setImmediate as nextTurn } from 'node:timers/promises';
import { delay } from '../../base/abortable.ts';
import { Backoff } from '../../base/backoff.ts';
import type { WirePeer } from '../wire-peer.ts';
import type { DhtClient } from './client.ts';
import { MULTIHASH_BYTES } from './keys.ts';
import { announcementEncoder } from './message.ts';
import { Outbox } from './outbox.ts';
import type { ProvidedKey } from './own-key.ts';
import type { TablePeer } from './routing-table.ts';

export interface AnnounceQueueParts {
  readonly client: DhtClient;
  /** This node, with the addresses that it announces now. */
  readonly self: () => WirePeer;
  /** Told of a peer that did not take its records. */
  readonly onFailure: (peer: TablePeer) => void;
  /** Told of a peer whose records were dropped, since it took none. */
  readonly onGivenUp: (peer: TablePeer) => void;
  readonly validityMs: number;
}

/** Receivers that are sent to at once: bounds the bytes in flight to 32 batches of 20 KB. */
const MAX_SENDING = 32;
/** Batches that may fail in a row. A peer that comes back later is asked what it still has. */
const MAX_FAILURES = 4;
const RETRY = { minMs: 500, maxMs: 8_000 };

/** Delivers records to peers: an outbox per peer, one acknowledged batch after another, a bounded number of peers at once. */
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

  /** Drops what a peer that is gone was still to be told. */
  forget(peer: string): void {
    this.#outboxes.get(peer)?.clear();
    this.#outboxes.delete(peer);
  }

  stop(): void {
    this.#stop.abort(new Error('router stopped'));
    for (const peer of [...this.#outboxes.keys()]) this.forget(peer);
  }

  #enqueue(outbox: Outbox): void {
    if (outbox.isQueued) return;
    outbox.isQueued = true;
    this.#queue.push(outbox);
    // The rest of the keys for this peer are added first, so that they travel together.
    if (this.#sending < MAX_SENDING) queueMicrotask(() => this.#pump());
  }

  #pump(): void {
    while (this.#sending < MAX_SENDING && !this.#stop.signal.aborted) {
      const outbox = this.#queue.shift();
      if (outbox === undefined) return;
      this.#sending++;
      void this.#deliver(outbox).then(async (ok) => {
        this.#sending--;
        this.#pump();
        if (!ok) await this.#pause(outbox);
        outbox.isQueued = false;
        if (outbox.size > 0) this.#enqueue(outbox);
      });
    }
  }

  /** One batch; resolves with whether the peer took it. Never rejects. */
  async #deliver(outbox: Outbox): Promise<boolean> {
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

  /** A peer that failed waits without keeping others from being sent to. Never rejects. */
  async #pause(outbox: Outbox): Promise<void> {
    const { signal } = this.#stop;
    if (signal.aborted) return;
    outbox.failures++;
    this.#parts.onFailure(outbox.peer);
    if (outbox.failures >= MAX_FAILURES) {
      outbox.failures = 0;
      outbox.clear();
      this.#parts.onGivenUp(outbox.peer);
      return;
    }
    await delay(new Backoff(RETRY, outbox.failures - 1).next(), signal).catch(() => {});
  }
}
