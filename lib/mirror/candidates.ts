import { untilAborted } from '../base/abortable.ts';
import type { PeerEndpoint } from '../peers/endpoint.ts';
import type { PeerHealth } from '../peers/peer-health.ts';
import type { Candidate, Router } from '../routing/router.ts';
import { MAX_ADDRESSES, MAX_KNOWN_CANDIDATES } from './constants.ts';

/**
 * Keeps the peers that may have one key in the order in which they are to be asked: first those
 * that the tracker named, ranked by it (lib/tracker/choice.ts); then those that earlier lookups
 * named; then those that a new lookup finds, as it finds them. Lives as long as one request, so
 * that a hand-over in the middle of a body starts at once.
 */
export class Candidates {
  readonly #router: Router;
  readonly #key: string;
  /** By peer id, in the order in which they are to be asked. */
  readonly #known = new Map<string, Candidate>();
  /** Not to be asked again for this request. */
  readonly #spent = new Set<string>();
  /** Named by the tracker, and nothing is known against them yet. */
  readonly #named = new Set<string>();
  /**
   * The tracker knows of nobody: what a prefetch has said is not asked again. Without its word the
   * lookup is made anew, since a busy tracker answers while it runs.
   */
  takesKeptMiss = false;
  #namedAreSpent = Promise.withResolvers<void>();

  constructor(router: Router, key: string) {
    this.#router = router;
    this.#key = key;
  }

  /**
   * Yields the known candidates that are not spent, then those of a new lookup. The lookup begins
   * when the tracker named none, or all that it named are spent: when many hosts pull one image,
   * lookups for what the tracker has said already would keep the CPUs busy. Without `waitsForNamed`
   * it begins in any case: several are to be asked at once.
   */
  async *inOrder(signal: AbortSignal, waitsForNamed = true): AsyncGenerator<Candidate> {
    const yielded = new Set<string>();
    for (const candidate of [...this.#known.values()]) {
      yielded.add(candidate.peerId);
      if (!this.#spent.has(candidate.peerId)) yield candidate;
    }
    if (waitsForNamed && this.#named.size > 0)
      await untilAborted(this.#namedAreSpent.promise, signal).catch(() => {});
    if (signal.aborted) return;
    const { takesKeptMiss } = this;
    const found = this.#router.lookup(this.#key, signal, { takesKeptMiss });
    for await (const candidate of found) {
      const { peerId } = candidate;
      if (signal.aborted) return;
      if (this.#known.size >= MAX_KNOWN_CANDIDATES && !this.#known.has(peerId)) continue;
      this.#known.set(peerId, candidate);
      if (!yielded.has(peerId) && !this.#spent.has(peerId)) yield candidate;
    }
  }

  /** The tracker names these, best first: they come before all others, also if they were spent. */
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

/** Where a candidate may be asked, best first: all but those that are barred. */
export function usableEndpoints(
  { peerId, addresses }: Candidate,
  peerHealth: PeerHealth,
): PeerEndpoint[] {
  const endpoints = addresses.slice(0, MAX_ADDRESSES).map((address) => ({ peerId, address }));
  return endpoints.filter((endpoint) => !peerHealth.isBarred(endpoint));
}

/**
 * The endpoints of the candidates of one race, in the order in which they are to be asked: each
 * peer's first address comes before any peer's second, because another host is a better bet than
 * another way to one that is silent. Barred endpoints are left out.
 */
export class EndpointQueue {
  readonly #peerHealth: PeerHealth;
  #first: PeerEndpoint[] = [];
  #later: PeerEndpoint[] = [];

  constructor(peerHealth: PeerHealth) {
    this.#peerHealth = peerHealth;
  }

  /** False when all its addresses are barred. */
  add(candidate: Candidate): boolean {
    const [best, ...others] = usableEndpoints(candidate, this.#peerHealth);
    if (best !== undefined) this.#first.push(best);
    this.#later.push(...others);
    return best !== undefined;
  }

  next(): PeerEndpoint | undefined {
    return this.#first.shift() ?? this.#later.shift();
  }

  isEmpty(): boolean {
    return this.#first.length === 0 && this.#later.length === 0;
  }

  /** The peer did not answer at one address: its next one comes to the front. */
  promote(peerId: string): void {
    const index = this.#later.findIndex((endpoint) => endpoint.peerId === peerId);
    if (index !== -1) this.#first.unshift(...this.#later.splice(index, 1));
  }

  /** The peer has answered, wrongly or with no: its other addresses would say the same. */
  drop(peerId: string): void {
    this.#first = this.#first.filter((endpoint) => endpoint.peerId !== peerId);
    this.#later = this.#later.filter((endpoint) => endpoint.peerId !== peerId);
  }
}
