import { BoundedMap } from '../../base/bounded-map.ts';
import type { Candidate } from '../router.ts';
import { FindProviders, type FindProvidersParts } from './find-providers.ts';
import { multihashOf } from './keys.ts';

interface SharedSearch {
  readonly search: FindProviders;
  followers: number;
}

interface Hit {
  candidates: readonly Candidate[];
  readonly expires: number;
}

/** A pull asks for a key several times within seconds (HEAD, GET, ranges); later a host may have gone. */
const HIT_MS = 5_000;
/** Keys that are being pulled at once, with room; 128 candidates each at most. */
const MAX_HITS = 1_000;

/** Shares lookups: one search per key at a time, and hits remembered for seconds. Misses are never remembered. */
export class LookupCache {
  readonly #parts: FindProvidersParts;
  readonly #running = new Map<string, SharedSearch>();
  readonly #hits = new BoundedMap<string, Hit>(MAX_HITS);

  constructor(parts: FindProvidersParts) {
    this.#parts = parts;
  }

  /**
   * The candidates of a key: remembered ones first, and the search only if more are asked for. Ends when the
   * signal is aborted; never throws.
   */
  async *find(key: string, signal: AbortSignal): AsyncGenerator<Candidate, void, undefined> {
    const known = new Set<string>();
    for (const candidate of this.#remembered(key)) {
      if (signal.aborted) return;
      known.add(candidate.peerId);
      yield candidate;
    }
    if (signal.aborted) return;
    const shared = this.#share(key);
    try {
      for await (const candidate of follow(shared.search, signal)) {
        if (known.has(candidate.peerId)) continue;
        yield candidate;
      }
    } finally {
      this.#leave(key, shared);
    }
  }

  /** Drops a peer from what is remembered: it has gone. */
  forget(peerId: string): void {
    for (const hit of this.#hits.values()) {
      hit.candidates = hit.candidates.filter((candidate) => candidate.peerId !== peerId);
    }
  }

  /** Ends every search. */
  stop(): void {
    for (const { search: lookup } of this.#running.values()) lookup.stop();
    this.#hits.clear();
  }

  #share(key: string): SharedSearch {
    let shared = this.#running.get(key);
    if (shared === undefined) {
      const started = { search: new FindProviders(this.#parts, multihashOf(key)), followers: 0 };
      this.#running.set(key, started);
      void started.search.run().then(() => {
        if (this.#running.get(key) === started) this.#running.delete(key);
        this.#remember(key, started.search.candidates);
      });
      shared = started;
    }
    shared.followers++;
    return shared;
  }

  /** The last one to leave ends the search: nobody would read what it finds. */
  #leave(key: string, shared: SharedSearch): void {
    shared.followers--;
    if (shared.followers > 0) return;
    if (this.#running.get(key) === shared) this.#running.delete(key);
    shared.search.stop();
  }

  #remembered(key: string): readonly Candidate[] {
    const hit = this.#hits.get(key);
    if (hit === undefined) return [];
    if (hit.expires > performance.now()) return hit.candidates;
    this.#hits.delete(key);
    return [];
  }

  #remember(key: string, candidates: readonly Candidate[]): void {
    if (candidates.length === 0) return;
    this.#hits.set(key, { candidates, expires: performance.now() + HIT_MS });
  }
}

/** What a search finds, from its beginning, however far it is. */
async function* follow(
  lookup: FindProviders,
  signal: AbortSignal,
): AsyncGenerator<Candidate, void> {
  const aborted = Promise.withResolvers<void>();
  const onAbort = () => aborted.resolve();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    for (let next = 0; !signal.aborted; ) {
      const changed = lookup.changed;
      const candidate = lookup.candidates[next];
      if (candidate !== undefined) {
        next++;
        yield candidate;
      } else if (lookup.hasEnded) return;
      else await Promise.race([changed, aborted.promise]);
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
