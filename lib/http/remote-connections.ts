import type { Socket } from 'node:net';
import { canonicalIp } from '../base/address.ts';
import { KeyedCounts } from '../base/keyed-counts.ts';
import { quotaKey } from '../base/quota-key.ts';
import { endCleanly } from './end-cleanly.ts';

interface Place {
  readonly network: string;
  /** When it was opened, on the monotonic clock in ms. */
  readonly since: number;
  /** It has shown the key of a closed network. */
  isMember: boolean;
}

export interface RemoteConnectionsParts {
  readonly max: number;
  /** Nothing is being answered on it. */
  readonly isIdle: (socket: Socket) => boolean;
}

/**
 * Connections of other hosts. 256 that ask nothing kept every peer out: so one host has only some
 * of the places, and when all are taken, one that does nothing makes room. First goes one that has
 * shown no key, of the host that has most; nobody is ended for a host that has more itself.
 */
export class RemoteConnections {
  readonly #parts: RemoteConnectionsParts;
  readonly #places = new Map<Socket, Place>();
  /** How many connections each network has. */
  readonly #counts = new KeyedCounts();

  constructor(parts: RemoteConnectionsParts) {
    this.#parts = parts;
  }

  /** False where there is no room. */
  enter(socket: Socket): boolean {
    const network = quotaKey(canonicalIp(socket.remoteAddress ?? 'gone'));
    const own = this.#counts.of(network);
    if (own >= MAX_PER_NETWORK) {
      if (!this.#makeRoom((place) => place.network === network, own)) return false;
    } else if (this.#places.size >= this.#parts.max && !this.#makeRoom(() => true, own)) {
      return false;
    }
    this.#places.set(socket, { network, since: performance.now(), isMember: false });
    this.#counts.add(network, 1);
    socket.once('close', () => this.#leave(socket));
    return true;
  }

  has(socket: Socket): boolean {
    return this.#places.has(socket);
  }

  /** It has shown the key of a closed network. */
  proven(socket: Socket): void {
    const place = this.#places.get(socket);
    if (place !== undefined) place.isMember = true;
  }

  /**
   * Ends the connection that is missed least; false where all are busy, or were opened a moment
   * ago.
   */
  #makeRoom(isConcerned: (place: Place) => boolean, own: number): boolean {
    const now = performance.now();
    let least: Socket | undefined;
    let worst = Number.NEGATIVE_INFINITY;
    // The oldest first: of two that are missed as little, it goes.
    for (const [socket, place] of this.#places) {
      if (!isConcerned(place) || !this.#parts.isIdle(socket)) continue;
      const count = this.#counts.of(place.network);
      // The request of one that was just opened is on its way, unless it is one of many.
      if (now - place.since < FRESH_MS && count <= own + 1) continue;
      const badness = (place.isMember ? 0 : this.#parts.max) + count;
      if (badness <= worst) continue;
      worst = badness;
      least = socket;
    }
    if (least === undefined) return false;
    this.#leave(least);
    endCleanly(least);
    return true;
  }

  #leave(socket: Socket): void {
    const place = this.#places.get(socket);
    if (place === undefined) return;
    this.#places.delete(socket);
    this.#counts.add(place.network, -1);
  }
}

/** Five pulls of three layers, of each of four hosts behind one address. */
const MAX_PER_NETWORK = 64;

/** The request of a connection that was just opened is on its way. */
export const FRESH_MS = 1_000;
