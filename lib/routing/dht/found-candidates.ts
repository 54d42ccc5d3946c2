import type { Candidate } from '../router.ts';
import type { WirePeer } from '../wire-peer.ts';
import { MAX_CANDIDATES, MAX_PROVIDERS_READ } from './constants.ts';

/** The candidates of one key, while a search finds them. */
export class FoundCandidates {
  readonly #candidateOf: (provider: WirePeer) => Candidate | undefined;
  readonly #all: Candidate[] = [];
  readonly #seen = new Set<string>();
  #hasEnded = false;
  #changed = Promise.withResolvers<void>();

  /** `candidateOf`: undefined for this node and for a provider without an acceptable address. */
  constructor(candidateOf: (provider: WirePeer) => Candidate | undefined) {
    this.#candidateOf = candidateOf;
  }

  /** In the order in which they were found. */
  get all(): readonly Candidate[] {
    return this.#all;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Adds those that are new, also after the end. Reads a bounded number. */
  add(providers: readonly WirePeer[]): void {
    const before = this.#all.length;
    for (const provider of providers.slice(0, MAX_PROVIDERS_READ)) {
      if (this.#all.length >= MAX_CANDIDATES) break;
      const candidate = this.#candidateOf(provider);
      if (candidate === undefined || this.#seen.has(candidate.peerId)) continue;
      this.#seen.add(candidate.peerId);
      this.#all.push(candidate);
    }
    if (this.#all.length === before) return;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Nobody waits for more of them. */
  end(): void {
    this.#hasEnded = true;
    this.#changed.resolve();
  }

  /** Yields all candidates from the first one on, and new ones until the search has ended. */
  async *follow(signal: AbortSignal): AsyncGenerator<Candidate, void, undefined> {
    const aborted = Promise.withResolvers<void>();
    const onAbort = () => aborted.resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for (let next = 0; !signal.aborted; ) {
        const { promise: changed } = this.#changed;
        const candidate = this.#all[next];
        if (candidate !== undefined) {
          next++;
          yield candidate;
        } else if (this.#hasEnded) return;
        else await Promise.race([changed, aborted.promise]);
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}
