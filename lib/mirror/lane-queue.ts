import type { Candidate } from '../routing/router.ts';
import type { PeerEndpoint, PeerHealth } from './peer-health.ts';

/**
 * Whom to ask next. Each peer's first address comes before anybody's second: another host is a better bet than
 * another way to one that is silent. Barred ones are not in it.
 */
export class EndpointQueue {
  readonly #peerHealth: PeerHealth;
  #first: PeerEndpoint[] = [];
  #later: PeerEndpoint[] = [];

  constructor(peerHealth: PeerHealth) {
    this.#peerHealth = peerHealth;
  }

  /** False when all its addresses are barred. */
  add({ peerId, addresses }: Candidate): boolean {
    const endpoints = addresses.slice(0, MAX_ADDRESSES).map((address) => ({ peerId, address }));
    const [best, ...others] = endpoints.filter((endpoint) => !this.#peerHealth.isBarred(endpoint));
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

  /** The peer was not to be had at one address: its next one comes to the front. */
  promote(peerId: string): void {
    const index = this.#later.findIndex((endpoint) => endpoint.peerId === peerId);
    if (index !== -1) this.#first.unshift(...this.#later.splice(index, 1));
  }

  /** The peer itself has answered, wrongly or with no: its other addresses would say the same. */
  drop(peerId: string): void {
    this.#first = this.#first.filter((endpoint) => endpoint.peerId !== peerId);
    this.#later = this.#later.filter((endpoint) => endpoint.peerId !== peerId);
  }
}

/** One per family is what peers announce; a record with more than this is made up. */
const MAX_ADDRESSES = 8;
