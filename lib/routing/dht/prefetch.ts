import { ExpiringMap } from '../../base/expiring-map.ts';
import { fairTimeout } from '../../base/fair-timeout.ts';
import { REPLICATION } from '../constants.ts';
import type { Candidate } from '../router.ts';
import type { WirePeer } from '../wire-peer.ts';
import {
  ANSWERS_PER_LOOKUP,
  MAX_CANDIDATES,
  MAX_KEYS_ASKED_TOGETHER,
  MAX_LOOKUPS_REMEMBERED,
  MAX_PREFETCHES_RUNNING,
  MISS_REMEMBERED_MS,
} from './constants.ts';
import type { FindProvidersParts } from './find-providers.ts';
import { FoundCandidates } from './found-candidates.ts';
import { kadPoint, multihashOf } from './keys.ts';
import type { ProvidersClient } from './providers-client.ts';
import type { TablePeer } from './routing-table.ts';

export interface PrefetchParts
  extends Pick<
    FindProvidersParts,
    'table' | 'providerStore' | 'unanswering' | 'timeout' | 'candidateOf'
  > {
  readonly providersClient: ProvidersClient;
  /** Whether this node provides the key with this multihash itself. */
  readonly isProvided: (multihash: Uint8Array) => boolean;
  /** Called with what was found of a key: at least one. */
  readonly onFound: (key: string, candidates: readonly Candidate[]) => void;
}

/** The search for one of the keys. */
interface Ahead {
  readonly key: string;
  readonly multihash: Uint8Array;
  /** All of these have to answer. */
  readonly peers: readonly TablePeer[];
  readonly found: FoundCandidates;
  answers: number;
  /** A provider was named, be it one that cannot be asked. */
  isProvided: boolean;
}

/**
 * Asks for the providers of keys that are likely to be looked up soon, all of them at once, so that
 * each of the closest peers gets one message. It decides only where as many peers answer as decide
 * a lookup. Where too few speak the protocol, or one of them fails or is slow, the lookup is made
 * when it is due, as ever; it finds out which peers do not live.
 */
export class Prefetch {
  readonly #parts: PrefetchParts;
  readonly #running = new Map<string, Ahead>();
  /** The multihash of each key. */
  readonly #misses = new ExpiringMap<Uint8Array>(MAX_LOOKUPS_REMEMBERED);
  /** Each stops the timer of one start. */
  readonly #undo = new Set<() => void>();
  #isStopped = false;

  constructor(parts: PrefetchParts) {
    this.#parts = parts;
  }

  /** Starts with the first 128 keys that are not known; the rest is left out. */
  start(keys: Iterable<string>): void {
    if (this.#isStopped) return;
    const byPeer = new Map<TablePeer, Ahead[]>();
    const started: Ahead[] = [];
    for (const key of keys) {
      if (started.length === MAX_KEYS_ASKED_TOGETHER) break;
      if (this.#running.size >= MAX_PREFETCHES_RUNNING) break;
      if (this.#running.has(key) || this.isMiss(key)) continue;
      const ahead = this.#plan(key);
      if (ahead === undefined) continue;
      started.push(ahead);
      this.#running.set(key, ahead);
      for (const peer of ahead.peers) {
        const others = byPeer.get(peer);
        if (others === undefined) byPeer.set(peer, [ahead]);
        else others.push(ahead);
      }
    }
    if (started.length === 0) return;
    for (const [peer, asked] of byPeer) void this.#ask(peer, asked);
    this.#endLater(started);
  }

  /** The candidates of a key while it is asked for. */
  running(key: string): FoundCandidates | undefined {
    return this.#running.get(key)?.found;
  }

  /**
   * Nobody had the key when its closest peers were asked, up to MISS_REMEMBERED_MS ago, and nobody
   * has announced it to this node since.
   */
  isMiss(key: string): boolean {
    const multihash = this.#misses.get(key);
    if (multihash === undefined) return false;
    return this.#parts.providerStore.providers(multihash, 1).length === 0;
  }

  stop(): void {
    this.#isStopped = true;
    for (const undo of this.#undo) undo();
    for (const ahead of this.#running.values()) this.#end(ahead);
  }

  /** Undefined for a key that needs no question, or has too few peers that can decide. */
  #plan(key: string): Ahead | undefined {
    const { table, providerStore, providersClient, unanswering, isProvided } = this.#parts;
    const multihash = multihashOf(key);
    if (isProvided(multihash)) return undefined;
    const closest = table.closest(kadPoint(multihash), REPLICATION);
    const needed = Math.min(ANSWERS_PER_LOOKUP, closest.length);
    const peers: TablePeer[] = [];
    for (const peer of closest) {
      if (peers.length === needed) break;
      if (!unanswering.has(peer.peerId) && providersClient.canAsk(peer)) peers.push(peer);
    }
    if (peers.length === 0 || peers.length < needed) return undefined;
    const found = new FoundCandidates(this.#parts.candidateOf);
    const known = providerStore.providers(multihash, MAX_CANDIDATES);
    found.add(known);
    return { key, multihash, peers, found, answers: 0, isProvided: known.length > 0 };
  }

  /** Never rejects. */
  async #ask(peer: TablePeer, asked: readonly Ahead[]): Promise<void> {
    try {
      const keys = asked.map(({ multihash }) => multihash);
      const lists = await this.#parts.providersClient.getProviders(peer, keys);
      for (const [at, ahead] of asked.entries()) this.#answered(ahead, lists[at] ?? []);
    } catch {
      for (const ahead of asked) this.#end(ahead);
    }
  }

  /** An answer that comes late still counts for the lookups after it. */
  #answered(ahead: Ahead, providers: readonly WirePeer[]): void {
    ahead.found.add(providers);
    ahead.answers += 1;
    if (providers.length > 0) ahead.isProvided = true;
    if (ahead.answers < ahead.peers.length) return;
    const { key, multihash, found, isProvided } = ahead;
    if (!isProvided) this.#misses.set(key, multihash, MISS_REMEMBERED_MS);
    else if (found.all.length > 0) this.#parts.onFound(key, found.all);
    this.#end(ahead);
  }

  /** A lookup does not wait for longer than until it would ask another peer. */
  #endLater(started: readonly Ahead[]): void {
    const undo = fairTimeout(this.#parts.timeout.hedgeAfterMs, () => {
      this.#undo.delete(undo);
      for (const ahead of started) this.#end(ahead);
    });
    this.#undo.add(undo);
  }

  #end(ahead: Ahead): void {
    if (this.#running.get(ahead.key) === ahead) this.#running.delete(ahead.key);
    ahead.found.end();
  }
}
