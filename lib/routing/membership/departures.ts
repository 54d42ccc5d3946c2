import { ExpiringMap } from '../../base/expiring-map.ts';
import { DEPARTED_MS, LATE_IDENTIFY_MS, MAX_DEPARTED } from './constants.ts';

interface Departure {
  /** On the monotonic clock in ms. */
  readonly at: number;
  /** Ids of the connections to the peer at that time. */
  readonly connections: ReadonlySet<string>;
}

/** The peers that said goodbye in the last DEPARTED_MS, by their ids. */
export class Departures {
  readonly #all = new ExpiringMap<Departure>(MAX_DEPARTED);

  /** `connections`: ids of the connections to the peer while it says goodbye. */
  add(peerId: string, connections: ReadonlySet<string>): void {
    this.#all.set(peerId, { at: performance.now(), connections }, DEPARTED_MS);
  }

  has(peerId: string): boolean {
    return this.#all.get(peerId) !== undefined;
  }

  delete(peerId: string): void {
    this.#all.delete(peerId);
  }

  /**
   * Whether an identify of the peer was under way on this connection while the peer said goodbye.
   * Such an identify would bring the peer back into the table just before it goes.
   */
  wasUnderWay(peerId: string, connection: { readonly id: string }): boolean {
    const departure = this.#all.get(peerId);
    if (departure === undefined || performance.now() >= departure.at + LATE_IDENTIFY_MS)
      return false;
    return departure.connections.has(connection.id);
  }
}
