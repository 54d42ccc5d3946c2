import { BoundedMap } from '../../base/bounded-map.ts';
import type { Candidate, LookupOptions } from '../router.ts';
import { LOOKUP_REMEMBERED_MS, MAX_LOOKUPS_REMEMBERED } from './constants.ts';
import { FindProviders, type FindProvidersParts } from './find-providers.ts';
import { multihashOf } from './keys.ts';
import { Prefetch, type PrefetchParts } from './prefetch.ts';

interface SharedSearch {
  readonly search: FindProviders;
  followers: number;
}

interface Hit {
  candidates: readonly Candidate[];
  /** On the monotonic clock in ms. */
  readonly expiresAt: number;
}

/**
 * Runs at most one search per key and shares it between all callers. Found candidates are
 * remembered for seconds, misses only those of a prefetch, for callers that take them.
 */
export class LookupCache {
  readonly #parts: FindProvidersParts;
  readonly #running = new Map<string, SharedSearch>();
  readonly #hits = new BoundedMap<string, Hit>(MAX_LOOKUPS_REMEMBERED);

  readonly #prefetch: Prefetch;

  constructor(parts: FindProvidersParts & Omit<PrefetchParts, 'onFound'>) {
    this.#parts = parts;
    const onFound = (key: string, found: readonly Candidate[]) => this.#remember(key, found);
    this.#prefetch = new Prefetch({ ...parts, onFound });
  }

  /**
   * Looks for the providers of keys that are likely to be looked up within seconds. Returns at
   * once.
   */
  prefetch(keys: Iterable<string>): void {
    this.#prefetch.start(keys);
  }

  /**
   * Yields the candidates of a key, remembered ones first; the search starts only if the caller
   * asks for more. Ends when the signal is aborted; never throws.
   */
  async *find(
    key: string,
    signal: AbortSignal,
    { takesKeptMiss = false }: LookupOptions = {},
  ): AsyncGenerator<Candidate, void, undefined> {
    const known = new Set<string>();
    for (const candidate of this.#remembered(key)) {
      if (signal.aborted) return;
      known.add(candidate.peerId);
      yield candidate;
    }
    const ahead = takesKeptMiss ? this.#prefetch.running(key) : undefined;
    if (ahead !== undefined) {
      for await (const candidate of ahead.follow(signal)) {
        known.add(candidate.peerId);
        yield candidate;
      }
    }
    if (signal.aborted || (takesKeptMiss && this.#prefetch.isMiss(key))) return;
    const shared = this.#join(key);
    try {
      for await (const candidate of shared.search.found.follow(signal)) {
        if (known.has(candidate.peerId)) continue;
        yield candidate;
      }
    } finally {
      this.#leave(key, shared);
    }
  }

  /** Removes a peer that is gone from all remembered candidates. */
  forget(peerId: string): void {
    for (const hit of this.#hits.values()) {
      hit.candidates = hit.candidates.filter((candidate) => candidate.peerId !== peerId);
    }
  }

  /** Ends every search. */
  stop(): void {
    for (const { search } of this.#running.values()) search.stop();
    this.#prefetch.stop();
    this.#hits.clear();
  }

  /** The running search for a key, or a new one. */
  #join(key: string): SharedSearch {
    let shared = this.#running.get(key);
    if (shared === undefined) {
      const started = { search: new FindProviders(this.#parts, multihashOf(key)), followers: 0 };
      this.#running.set(key, started);
      void started.search.run().then(() => {
        if (this.#running.get(key) === started) this.#running.delete(key);
        this.#remember(key, started.search.found.all);
      });
      shared = started;
    }
    shared.followers++;
    return shared;
  }

  /** The last follower ends the search: nothing would read its candidates. */
  #leave(key: string, shared: SharedSearch): void {
    shared.followers--;
    if (shared.followers > 0) return;
    if (this.#running.get(key) === shared) this.#running.delete(key);
    shared.search.stop();
  }

  #remembered(key: string): readonly Candidate[] {
    const hit = this.#hits.get(key);
    if (hit === undefined) return [];
    if (hit.expiresAt > performance.now()) return hit.candidates;
    this.#hits.delete(key);
    return [];
  }

  #remember(key: string, candidates: readonly Candidate[]): void {
    if (candidates.length === 0) return;
    this.#hits.set(key, { candidates, expiresAt: performance.now() + LOOKUP_REMEMBERED_MS });
  }
}
