import { ExpiringMap } from '../../base/expiring-map.ts';
import { REPLICATION } from '../constants.ts';
import type { Candidate } from '../router.ts';
import {
  ANSWERS_PER_LOOKUP,
  MAX_KEYS_ASKED_TOGETHER,
  MAX_LOOKUPS_REMEMBERED,
  MAX_PREFETCHES_RUNNING,
  MISS_REMEMBERED_MS,
} from './constants.ts';
import { FindProviders, type FindProvidersParts } from './find-providers.ts';
import { kadPoint, multihashOf } from './keys.ts';
import type { ProvidersClient } from './providers-client.ts';

export interface PrefetchParts extends FindProvidersParts {
  readonly providersClient: ProvidersClient;
  /** Whether this node provides the key with this multihash itself. */
  readonly isProvided: (multihash: Uint8Array) => boolean;
  /** Called with what was found of a key; it may be nothing. */
  readonly onFound: (key: string, candidates: readonly Candidate[]) => void;
}

/**
 * Asks for the providers of keys that are likely to be looked up soon, all of them at once, so that
 * each of the closest peers gets one message. Peers without the protocol are not asked: where the
 * others are too few to decide on a miss, the lookup of that key is made when it is due, as ever.
 */
export class Prefetch {
  readonly #parts: PrefetchParts;
  readonly #running = new Map<string, FindProviders>();
  /** The multihash of each key. */
  readonly #misses = new ExpiringMap<Uint8Array>(MAX_LOOKUPS_REMEMBERED);

  constructor(parts: PrefetchParts) {
    this.#parts = parts;
  }

  /** Starts with the first 128 keys that this node does not provide; the rest is left out. */
  start(keys: Iterable<string>): void {
    let count = 0;
    for (const key of keys) {
      if (count === MAX_KEYS_ASKED_TOGETHER || this.#running.size >= MAX_PREFETCHES_RUNNING) return;
      if (this.#running.has(key) || this.isMiss(key)) continue;
      if (this.#startOne(key)) count += 1;
    }
  }

  /** The search for a key that is under way. */
  running(key: string): FindProviders | undefined {
    return this.#running.get(key);
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
    for (const search of this.#running.values()) search.stop();
  }

  #startOne(key: string): boolean {
    const { table, providersClient, isProvided, onFound } = this.#parts;
    const multihash = multihashOf(key);
    if (isProvided(multihash)) return false;
    const closest = table.closest(kadPoint(multihash), REPLICATION);
    const peers = closest.filter((peer) => providersClient.canAsk(peer));
    const enough = Math.min(ANSWERS_PER_LOOKUP, closest.length);
    if (peers.length === 0 || peers.length < enough) return false;
    const search = new FindProviders(this.#parts, multihash, {
      peers,
      isOptional: true,
      getProviders: (peer) => providersClient.getProviders(peer, multihash),
    });
    this.#running.set(key, search);
    void search.run().then(() => {
      this.#running.delete(key);
      if (search.candidates.length > 0) onFound(key, search.candidates);
      else if (search.answers >= enough) this.#misses.set(key, multihash, MISS_REMEMBERED_MS);
    });
    return true;
  }
}
