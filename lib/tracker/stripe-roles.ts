import type { Puller } from './pullers.ts';

/** It passes on in every stripe: it leads, or it had all of the content before anybody asked. */
const ROOT = -1;

/** What a slow child takes of a source, against one that is not. */
const SLOW_WEIGHT = 1 / 8;

/** In which stripe each host may pass on, and which hosts are too slow to pass on anything. */
export class StripeRoles {
  readonly #limit: number;
  readonly #byPeer = new Map<string, number>();
  readonly #slow = new Set<string>();
  readonly #counts: number[];

  /** Remembers at most `limit` hosts; `isKnown` tells which may not be forgotten. */
  constructor(stripes: number, limit: number) {
    this.#limit = limit;
    this.#counts = Array.from({ length: stripes }, () => 0);
  }

  /** A host begins to pull: it is to pass on in the stripe that has the fewest hosts. */
  enter(peer: string, isKnown: (peer: string) => boolean): void {
    const role = this.#byPeer.get(peer);
    if (role !== undefined && role !== ROOT) return;
    if (this.#byPeer.size >= this.#limit) this.#prune(isKnown);
    if (this.#byPeer.size >= this.#limit) return;
    const stripe = this.#counts.indexOf(Math.min(...this.#counts));
    this.#byPeer.set(peer, stripe);
    this.#count(stripe, 1);
  }

  /** A host leads: it is the root of all stripes. */
  lead(peer: string): void {
    this.delete(peer);
    if (this.#byPeer.size < this.#limit) this.#byPeer.set(peer, ROOT);
  }

  delete(peer: string): void {
    const role = this.#byPeer.get(peer);
    if (role === undefined) return;
    this.#byPeer.delete(peer);
    if (role !== ROOT && !this.#slow.has(peer)) this.#count(role, -1);
    this.#slow.delete(peer);
  }

  /** A slow host passes on nothing, so another one is to pass on in its stripe. */
  setSlow(peer: string, isSlow: boolean): void {
    const role = this.#byPeer.get(peer);
    if (role === undefined || role === ROOT || this.#slow.has(peer) === isSlow) return;
    if (isSlow) this.#slow.add(peer);
    else this.#slow.delete(peer);
    this.#count(role, isSlow ? -1 : 1);
  }

  /** The stripe that it passes on, or would if it were faster; undefined: all. */
  stripeOf(peer: string): number | undefined {
    const role = this.#byPeer.get(peer);
    return role === ROOT ? undefined : role;
  }

  isSlow(peer: string): boolean {
    return this.#slow.has(peer);
  }

  /** What a child takes of a source: a slow one takes little, and a given up one may be dead. */
  weightOf({ peer, accusers }: Puller): number {
    return accusers.size > 0 || this.#slow.has(peer) ? SLOW_WEIGHT : 1;
  }

  /** `every`: it passes on in every stripe; a host that never asked has all of the content. */
  passesOn(peer: string, stripe: number): 'every' | 'this' | 'none' {
    const role = this.#byPeer.get(peer) ?? ROOT;
    if (role === ROOT) return 'every';
    return role === stripe && !this.#slow.has(peer) ? 'this' : 'none';
  }

  #count(stripe: number, more: number): void {
    this.#counts[stripe] = (this.#counts[stripe] as number) + more;
  }

  #prune(isKnown: (peer: string) => boolean): void {
    for (const peer of this.#byPeer.keys()) if (!isKnown(peer)) this.delete(peer);
  }
}
