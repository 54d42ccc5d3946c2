import type { Socket } from 'node:net';
import { canonicalIp } from '../base/address.ts';
import { KeyedCounts } from '../base/keyed-counts.ts';
import { quotaKey } from '../base/quota-key.ts';
import { FRESH_CONNECTION_MS, MAX_CONNECTIONS_PER_NETWORK } from './constants.ts';
import { endCleanly } from './end-cleanly.ts';

interface Connection {
  /** The quota key of the client's address. */
  readonly network: string;
  /** When it was opened, on the monotonic clock in ms. */
  readonly since: number;
  /** It has shown the key of a closed network. */
  isProven: boolean;
}

export interface RemoteConnectionsParts {
  readonly max: number;
  /** True when no request of the connection is being answered. */
  readonly isIdle: (socket: Socket) => boolean;
}

/**
 * The connections of other hosts. 256 idle ones of one host kept every peer out, so one host gets
 * only some of the places, and in a full house an idle connection makes room. First goes one that
 * has shown no key, of the host that has the most. None is ended for a host that has more itself.
 */
export class RemoteConnections {
  readonly #parts: RemoteConnectionsParts;
  readonly #connections = new Map<Socket, Connection>();
  /** How many connections each network has. */
  readonly #counts = new KeyedCounts();

  constructor(parts: RemoteConnectionsParts) {
    this.#parts = parts;
  }

  /** False where there is no room. */
  enter(socket: Socket): boolean {
    const network = quotaKey(canonicalIp(socket.remoteAddress ?? 'gone'));
    const own = this.#counts.of(network);
    if (own >= MAX_CONNECTIONS_PER_NETWORK) {
      if (!this.#makeRoom((connection) => connection.network === network, own)) return false;
    } else if (this.#connections.size >= this.#parts.max && !this.#makeRoom(() => true, own)) {
      return false;
    }
    this.#connections.set(socket, { network, since: performance.now(), isProven: false });
    this.#counts.add(network, 1);
    socket.once('close', () => this.#leave(socket));
    return true;
  }

  has(socket: Socket): boolean {
    return this.#connections.has(socket);
  }

  /** The client has shown the key of a closed network. */
  markProven(socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection !== undefined) connection.isProven = true;
  }

  /**
   * Ends the idle connection with the least claim to its place. False where all are busy or were
   * just opened. `own`: how many connections the newcomer's network has.
   */
  #makeRoom(isCandidate: (connection: Connection) => boolean, own: number): boolean {
    const now = performance.now();
    let least: Socket | undefined;
    let worst = Number.NEGATIVE_INFINITY;
    // From the oldest on: of two with the same claim, the older one goes.
    for (const [socket, connection] of this.#connections) {
      if (!isCandidate(connection) || !this.#parts.isIdle(socket)) continue;
      const count = this.#counts.of(connection.network);
      // The request of a fresh connection is on its way, unless its network has many.
      if (now - connection.since < FRESH_CONNECTION_MS && count <= own + 1) continue;
      const badness = (connection.isProven ? 0 : this.#parts.max) + count;
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
    const connection = this.#connections.get(socket);
    if (connection === undefined) return;
    this.#connections.delete(socket);
    this.#counts.add(connection.network, -1);
  }
}
