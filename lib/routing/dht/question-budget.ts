import { setTimeout as sleep } from 'node:timers/promises';
import { isLoopback } from '../../base/address.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import { KeyedCounts } from '../../base/keyed-counts.ts';
import { quotaKey } from '../../base/quota-key.ts';
import { TimeBudget } from '../../base/time-budget.ts';
import {
  MAX_NETWORKS_COUNTED,
  MAX_STREAMS_PER_NETWORK,
  MAX_STREAMS_WAITING,
  NETWORK_USE_FORGET_MS,
  QUESTION_SLICE_MS,
  QUESTIONS_OF_ALL,
  QUESTIONS_PER_NETWORK,
} from './constants.ts';

/**
 * Bounds the time of this thread that peers use by their questions: one stream of questions once
 * stopped the event loop for eight seconds. Peers are counted by their network, since a peer can
 * make up ids for nothing; on loopback, where all peers have one address, by id.
 */
export class QuestionBudget {
  readonly #all = new TimeBudget(QUESTIONS_OF_ALL);
  readonly #networks = new ExpiringMap<TimeBudget>(MAX_NETWORKS_COUNTED);
  readonly #streams = new KeyedCounts();
  /** Work in this turn of the event loop, in milliseconds. */
  #sliceMs = 0;
  #nextTurn: Promise<void> | undefined;
  #waiting = 0;

  /** The name by which a peer is counted. */
  static askerName(ip: string, peerId: string): string {
    return isLoopback(ip) ? peerId : quotaKey(ip);
  }

  /**
   * Counts a stream and returns a function that releases it. Throws when the network has too many.
   */
  openStream(asker: string): () => void {
    if (this.#streams.of(asker) >= MAX_STREAMS_PER_NETWORK)
      throw new Error(`${MAX_STREAMS_PER_NETWORK} streams of its network are open`);
    this.#streams.add(asker, 1);
    return () => this.#streams.add(asker, -1);
  }

  /**
   * Resolves when a question of this peer may be answered. Rejects when too many questions wait,
   * and when the signal is aborted.
   */
  async waitForTurn(asker: string, signal: AbortSignal): Promise<void> {
    let waitMs = this.#waitMsFor(asker);
    if (waitMs === 0) return;
    if (this.#waiting >= MAX_STREAMS_WAITING) throw new Error('too many questions wait');
    this.#waiting += 1;
    try {
      for (; waitMs > 0; waitMs = this.#waitMsFor(asker)) {
        if (this.#sliceMs >= QUESTION_SLICE_MS) await this.#nextTurn;
        else await sleep(waitMs, undefined, { signal });
        signal.throwIfAborted();
      }
    } finally {
      this.#waiting -= 1;
    }
  }

  /** Counts the time of this thread that a question took, in milliseconds. */
  spend(asker: string, ms: number): void {
    this.#sliceMs += ms;
    this.#nextTurn ??= this.#untilNextTurn();
    const now = performance.now();
    this.#all.spend(ms, now);
    const network = this.#budgetOf(asker);
    network.spend(ms, now);
    this.#networks.set(asker, network, NETWORK_USE_FORGET_MS);
  }

  /** Milliseconds after which to try again; 0 if the question may be answered now. */
  #waitMsFor(asker: string): number {
    if (this.#sliceMs >= QUESTION_SLICE_MS) return 1;
    const now = performance.now();
    const waitMs = Math.max(this.#all.waitMs(now), this.#budgetOf(asker).waitMs(now));
    return waitMs === 0 ? 0 : Math.max(1, waitMs);
  }

  #budgetOf(asker: string): TimeBudget {
    return this.#networks.get(asker) ?? new TimeBudget(QUESTIONS_PER_NETWORK);
  }

  async #untilNextTurn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#nextTurn = undefined;
    this.#sliceMs = 0;
  }
}
