import type { Candidate, Router } from '../routing/router.ts';

/**
 * The hosts that may hold one key, for the time of one request. Remembers who was named, so that a hand-over
 * in the middle of a body starts at once, and who is used up.
 */
export class Holders {
  readonly #router: Router;
  readonly #key: string;
  readonly #known = new Map<string, Candidate>();
  readonly #spent = new Set<string>();

  constructor(router: Router, key: string) {
    this.#router = router;
    this.#key = key;
  }

  /** Yields those who are known and not used up, then those whom a new lookup names. */
  async *candidates(signal: AbortSignal): AsyncGenerator<Candidate> {
    const named = new Set<string>();
    for (const candidate of [...this.#known.values()]) {
      named.add(candidate.peerId);
      if (!this.#spent.has(candidate.peerId)) yield candidate;
    }
    for await (const candidate of this.#router.lookup(this.#key, signal)) {
      const { peerId } = candidate;
      if (signal.aborted) return;
      if (this.#known.size >= MAX_HOLDERS && !this.#known.has(peerId)) continue;
      this.#known.set(peerId, candidate);
      if (!named.has(peerId) && !this.#spent.has(peerId)) yield candidate;
    }
  }

  /** Not to be asked again for this request. */
  spend(peerId: string): void {
    this.#spent.add(peerId);
  }
}

/** Kademlia returns at most 20 closest peers with their records; more than this is a flood. */
const MAX_HOLDERS = 64;
