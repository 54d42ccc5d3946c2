import { performance } from 'node:perf_hooks';
import { fairTimeout } from '../../base/fair-timeout.ts';
import type { Strikes } from '../../peers/strikes.ts';
import { REPLICATION } from '../constants.ts';
import type { Candidate } from '../router.ts';
import type { WirePeer } from '../wire-peer.ts';
import type { DhtClient } from './client.ts';
import {
  ANSWERS_PER_LOOKUP,
  FIRST_RESPONSE_GUESS_MS,
  HEDGE_AFTER_MS,
  MAX_CANDIDATES,
  MAX_UNANSWERING_ASKED,
  RESPONSE_SAMPLE_WEIGHT,
  SILENT_AFTER_MS,
} from './constants.ts';
import { FoundCandidates } from './found-candidates.ts';
import { kadPoint } from './keys.ts';
import type { ProviderStore } from './provider-store.ts';
import type { RoutingTable, TablePeer } from './routing-table.ts';

export interface FindProvidersParts {
  readonly table: RoutingTable;
  readonly providerStore: ProviderStore;
  readonly client: DhtClient;
  readonly unanswering: Strikes;
  readonly timeout: AdaptiveTimeout;
  /** The candidate for a provider; undefined for this node and without an acceptable address. */
  readonly candidateOf: (provider: WirePeer) => Candidate | undefined;
  /** Called for a peer that failed or was silent, so that the dead leave the table. */
  readonly onFailure: (peer: TablePeer) => void;
}

/**
 * One search for the providers of a key. It asks the closest peers of the routing table directly,
 * closest first and six at the same time. A peer that fails or is slow is replaced by the next
 * closest. No iterative query is ever made.
 */
export class FindProviders {
  readonly #parts: FindProvidersParts;
  readonly #key: Uint8Array;
  readonly found: FoundCandidates;
  readonly #done = Promise.withResolvers<void>();
  /** Each stops a hedge. */
  readonly #hedges = new Set<() => void>();
  #queue: TablePeer[] = [];
  #answers = 0;
  #awaited = 0;

  /** `key`: its multihash. */
  constructor(parts: FindProvidersParts, key: Uint8Array) {
    this.#parts = parts;
    this.#key = key;
    this.found = new FoundCandidates(parts.candidateOf);
  }

  /**
   * Resolves when six peers have answered, when all of the closest have answered or failed, or
   * after `stop`. Never rejects.
   */
  run(): Promise<void> {
    const { table, providerStore, unanswering, client, timeout } = this.#parts;
    this.found.add(providerStore.providers(this.#key, MAX_CANDIDATES));
    const closest = table.closest(kadPoint(this.#key), REPLICATION);
    const isUnanswering = ({ peerId }: TablePeer) => unanswering.has(peerId);
    this.#queue = closest.filter((peer) => !isUnanswering(peer));
    // In a fleet so small that their answers decide, unanswering peers get a moment.
    const waitMs = this.#queue.length < ANSWERS_PER_LOOKUP ? timeout.hedgeAfterMs : 0;
    const doubtful = closest.filter((peer) => isUnanswering(peer) && client.isConnected(peer));
    for (const peer of doubtful.slice(0, MAX_UNANSWERING_ASKED)) this.#ask(peer, waitMs);
    while (this.#awaited < ANSWERS_PER_LOOKUP && this.#queue.length > 0) this.#askNext();
    this.#endWhenDecided();
    return this.#done.promise;
  }

  /** Ends the search; later answers are dropped. */
  stop(): void {
    if (this.found.hasEnded) return;
    for (const stopHedge of this.#hedges) stopHedge();
    this.found.end();
    this.#done.resolve();
  }

  /** Asks the next closest peer, and one more when the answer takes long. */
  #askNext(): void {
    const peer = this.#queue.shift();
    if (peer === undefined) return;
    const { timeout } = this.#parts;
    const stopHedge = fairTimeout(timeout.hedgeAfterMs, () => this.#askNext());
    this.#hedges.add(stopHedge);
    this.#ask(peer, timeout.silentAfterMs, (hasAnswered) => {
      stopHedge();
      if (!hasAnswered && !this.found.hasEnded) this.#askNext();
    });
  }

  /**
   * Asks a peer and waits for it up to `waitMs`. A later answer still counts, and shows that the
   * peer answers.
   */
  #ask(peer: TablePeer, waitMs: number, then: (hasAnswered: boolean) => void = () => {}): void {
    let isAwaited = waitMs > 0;
    if (isAwaited) this.#awaited++;
    const release = () => {
      if (isAwaited) this.#awaited--;
      isAwaited = false;
      this.#endWhenDecided();
    };
    // It does not end with the search. Otherwise a frozen peer would never be noticed while other
    // peers answer, and each search would wait until its hedge.
    const stopSilence = fairTimeout(waitMs, () => {
      if (isAwaited) {
        this.#parts.unanswering.add(peer.peerId, peer, 'silent');
        this.#parts.onFailure(peer);
      }
      release();
    });
    void this.#getProviders(peer).then((hasAnswered) => {
      stopSilence();
      if (hasAnswered) this.#answers++;
      then(hasAnswered);
      release();
    });
  }

  /** Resolves with whether the peer answered; never rejects. */
  async #getProviders(peer: TablePeer): Promise<boolean> {
    const { client, unanswering, timeout, onFailure } = this.#parts;
    const askedAt = performance.now();
    try {
      const { providers } = await client.getProviders(peer, this.#key);
      timeout.addSample(performance.now() - askedAt);
      unanswering.forget(peer.peerId);
      if (!this.found.hasEnded) this.found.add(providers);
      return true;
    } catch {
      unanswering.add(peer.peerId, peer, 'failed');
      onFailure(peer);
      return false;
    }
  }

  #endWhenDecided(): void {
    const isExhausted = this.#awaited === 0 && this.#queue.length === 0;
    if (this.#answers >= ANSWERS_PER_LOOKUP || isExhausted) this.stop();
  }
}

/**
 * How long to wait for a peer, learned from the response times of all peers: a fleet across
 * continents needs longer than one in a rack.
 */
export class AdaptiveTimeout {
  #meanMs = FIRST_RESPONSE_GUESS_MS;

  /** After this time without an answer another peer is asked as well. */
  get hedgeAfterMs(): number {
    return bounded(3 * this.#meanMs, HEDGE_AFTER_MS);
  }

  /** After this time without an answer a peer counts as silent. */
  get silentAfterMs(): number {
    return bounded(4 * this.#meanMs, SILENT_AFTER_MS);
  }

  /**
   * Adds the response time of one answer, in milliseconds. A very late answer counts as one at the
   * upper bound, so that a single one does not raise the timeout of all.
   */
  addSample(ms: number): void {
    const sampleMs = Math.min(ms, SILENT_AFTER_MS.max);
    this.#meanMs += RESPONSE_SAMPLE_WEIGHT * (sampleMs - this.#meanMs);
  }
}

function bounded(ms: number, { min, max }: { readonly min: number; readonly max: number }): number {
  return Math.min(max, Math.max(min, ms));
}
