import type { Candidate, Router } from '../routing/router.ts';

/**
 * The hosts that may hold one key, for the time of one request. Remembers who was named, so that a hand-over
 * in the middle of a body starts at once, and who is used up.
 */
export class Candidates {
  readonly #router: Router;
  readonly #key: string;
  readonly #known = new Map<string, Candidate>();
  readonly #spent = new Set<string>();
  /** Named by the tracker, and nothing is known against them yet. */
  readonly #named = new Set<string>();
  #namedAreSpent = Promise.withResolvers<void>();

  constructor(router: Router, key: string) {
    this.#router = router;
    this.#key = key;
  }

  /**
   * Yields those who are known and not used up, then those whom a new lookup names. It begins when none of those
   * that the tracker named is left: a herd that looks up what it was told already has the CPUs busy with that.
   */
  async *candidates(signal: AbortSignal): AsyncGenerator<Candidate> {
    const named = new Set<string>();
    for (const candidate of [...this.#known.values()]) {
      named.add(candidate.peerId);
      if (!this.#spent.has(candidate.peerId)) yield candidate;
    }
    if (this.#named.size > 0) await untilEither(this.#namedAreSpent.promise, signal);
    if (signal.aborted) return;
    for await (const candidate of this.#router.lookup(this.#key, signal)) {
      const { peerId } = candidate;
      if (signal.aborted) return;
      if (this.#known.size >= MAX_HOLDERS && !this.#known.has(peerId)) continue;
      this.#known.set(peerId, candidate);
      if (!named.has(peerId) && !this.#spent.has(peerId)) yield candidate;
    }
  }

  /** Those to be asked first from now on, best first, also ones that were used up. */
  putFirst(candidates: readonly Candidate[]): void {
    const others = [...this.#known].filter(
      ([peerId]) => !candidates.some((candidate) => candidate.peerId === peerId),
    );
    this.#known.clear();
    this.#named.clear();
    this.#namedAreSpent = Promise.withResolvers();
    for (const candidate of candidates) {
      this.#named.add(candidate.peerId);
      this.#known.set(candidate.peerId, candidate);
      this.#spent.delete(candidate.peerId);
    }
    for (const [peerId, candidate] of others) this.#known.set(peerId, candidate);
  }

  /** It cannot be asked now, or gave nothing at one of its addresses. */
  gaveNothing(peerId: string): void {
    this.#named.delete(peerId);
    if (this.#named.size === 0) this.#namedAreSpent.resolve();
  }

  /** Not to be asked again for this request. */
  spend(peerId: string): void {
    this.#spent.add(peerId);
    this.gaveNothing(peerId);
  }
}

/** Resolves with the promise or when the signal is aborted, whichever comes first. */
function untilEither(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      signal.removeEventListener('abort', end);
      resolve();
    };
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    void promise.then(end);
  });
}

/** Kademlia returns at most 20 closest peers with their records; more than this is a flood. */
const MAX_HOLDERS = 64;
