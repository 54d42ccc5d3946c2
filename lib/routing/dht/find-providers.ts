import { performance } from 'node:perf_hooks';
import { REPLICATION } from '../constants.ts';
import type { Candidate } from '../router.ts';
import type { WirePeer } from '../wire-peer.ts';
import type { AdaptiveTimeout } from './adaptive-timeout.ts';
import type { DhtClient } from './client.ts';
import { kadPoint } from './keys.ts';
import type { ProviderStore } from './provider-store.ts';
import type { RoutingTable, TablePeer } from './routing-table.ts';
import type { UnansweringPeers } from './unanswering-peers.ts';

export interface FindProvidersParts {
  readonly table: RoutingTable;
  readonly providerStore: ProviderStore;
  readonly client: DhtClient;
  readonly unanswering: UnansweringPeers;
  readonly timeout: AdaptiveTimeout;
  /** The candidate that a provider is; undefined for ourselves and for one without an acceptable address. */
  readonly candidateOf: (provider: WirePeer) => Candidate | undefined;
  /** Told of peers that failed or were silent, so that the dead leave the table. */
  readonly onFailure: (peer: TablePeer) => void;
}

/**
 * Answers that decide a miss. A record is with the 20 closest; six of them would all have to have lost it, or
 * to be wrong about who is closest, for content to go unnoticed.
 */
const ENOUGH_ANSWERS = 6;
/** Suspects that are asked along, without waiting for them, if that costs no dial. */
const MAX_SUSPECTS_ASKED = 3;
/** Providers of one answer that are looked at: their addresses take time to read, acceptable or not. */
const MAX_PROVIDERS_READ = 64;
/** Candidates per lookup: more than a mirror would ever try. */
const MAX_CANDIDATES = 128;

/**
 * One search for the providers of a key: the closest peers of the full table are asked directly, six at once;
 * for one that fails or is slow the next closest is asked. Never an iterative query.
 */
export class FindProviders {
  readonly #parts: FindProvidersParts;
  readonly #key: Uint8Array;
  readonly #found: Candidate[] = [];
  readonly #seen = new Set<string>();
  readonly #done = Promise.withResolvers<void>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #queue: TablePeer[] = [];
  #answers = 0;
  #awaited = 0;
  #hasEnded = false;
  #changed = Promise.withResolvers<void>();

  constructor(parts: FindProvidersParts, key: Uint8Array) {
    this.#parts = parts;
    this.#key = key;
  }

  /** What was found so far, in the order in which it was. */
  get candidates(): readonly Candidate[] {
    return this.#found;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Resolves at the next candidate and at the end. */
  get changed(): Promise<void> {
    return this.#changed.promise;
  }

  /** Resolves when the closest peers that live have answered, or after `stop`. Never rejects. */
  run(): Promise<void> {
    const { table, providerStore, unanswering, client } = this.#parts;
    this.#addCandidates(providerStore.providers(this.#key, MAX_CANDIDATES));
    const closest = table.closest(kadPoint(this.#key), REPLICATION);
    this.#queue = closest.filter(({ peerId }) => !unanswering.has(peerId));
    // A fleet so small that suspects are needed for a verdict gives them a moment.
    const suspectMs = this.#queue.length < ENOUGH_ANSWERS ? this.#parts.timeout.hedgeAfterMs : 0;
    const doubtful = closest.filter(
      (peer) => unanswering.has(peer.peerId) && client.isConnected(peer),
    );
    for (const peer of doubtful.slice(0, MAX_SUSPECTS_ASKED)) this.#ask(peer, suspectMs);
    while (this.#awaited < ENOUGH_ANSWERS && this.#queue.length > 0) this.#askNext();
    this.#endWhenDecided();
    return this.#done.promise;
  }

  /** Ends the search; answers that still come are dropped. */
  stop(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#done.resolve();
    this.#changed.resolve();
  }

  /** Asks the next closest; when it takes long, another one is asked as well. */
  #askNext(): void {
    const peer = this.#queue.shift();
    if (peer === undefined) return;
    const { timeout } = this.#parts;
    const hedge = this.#after(timeout.hedgeAfterMs, () => this.#askNext());
    this.#ask(peer, timeout.silentAfterMs, (answered) => {
      clearTimeout(hedge);
      if (!answered && !this.#hasEnded) this.#askNext();
    });
  }

  /** Asks a peer and waits for it `timeoutMs` at most; a later answer still counts, and clears the suspicion. */
  #ask(peer: TablePeer, timeoutMs: number, then: (answered: boolean) => void = () => {}): void {
    let awaited = timeoutMs > 0;
    if (awaited) this.#awaited++;
    const release = () => {
      if (awaited) this.#awaited--;
      awaited = false;
      this.#endWhenDecided();
    };
    // Not among the timers that end with the search: a frozen peer would never be found out by searches that others
    // answer, and make each of them wait for the hedge.
    const silence = setTimeout(() => {
      // An answer that came in while our own event loop was busy is read before the timer is believed.
      setImmediate(() => {
        if (awaited) {
          this.#parts.unanswering.failed(peer.peerId);
          this.#parts.onFailure(peer);
        }
        release();
      });
    }, timeoutMs);
    silence.unref();
    void this.#getProviders(peer).then((answered) => {
      clearTimeout(silence);
      if (answered) this.#answers++;
      then(answered);
      release();
    });
  }

  /** Resolves with whether the peer answered; never rejects. */
  async #getProviders(peer: TablePeer): Promise<boolean> {
    const { client, unanswering, timeout, onFailure } = this.#parts;
    const asked = performance.now();
    try {
      const { providers } = await client.getProviders(peer, this.#key);
      timeout.addSample(performance.now() - asked);
      unanswering.answered(peer.peerId);
      this.#addCandidates(providers);
      return true;
    } catch {
      unanswering.failed(peer.peerId);
      onFailure(peer);
      return false;
    }
  }

  #addCandidates(providers: readonly WirePeer[]): void {
    if (this.#hasEnded) return;
    const before = this.#found.length;
    for (const provider of providers.slice(0, MAX_PROVIDERS_READ)) {
      if (this.#found.length >= MAX_CANDIDATES) break;
      const candidate = this.#parts.candidateOf(provider);
      if (candidate === undefined || this.#seen.has(candidate.peerId)) continue;
      this.#seen.add(candidate.peerId);
      this.#found.push(candidate);
    }
    if (this.#found.length === before) return;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  #endWhenDecided(): void {
    const exhausted = this.#awaited === 0 && this.#queue.length === 0;
    if (this.#answers >= ENOUGH_ANSWERS || exhausted) this.stop();
  }

  #after(ms: number, action: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
    return timer;
  }
}
