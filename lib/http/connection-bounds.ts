import type { Socket } from 'node:net';
import { canonicalIp } from '../base/address.ts';
import { KeyedCounts } from '../base/keyed-counts.ts';
import { quotaKey } from '../base/quota-key.ts';
import {
  FRESH_CONNECTION_MS,
  MAX_ANSWERED_REFUSALS,
  MAX_CONNECTIONS,
  MAX_CONNECTIONS_PER_NETWORK,
  MAX_PIPELINED,
  MAX_PIPELINED_REMOTE,
  REFUSAL_PERIOD_MS,
} from './constants.ts';
import { endCleanly } from './end-cleanly.ts';

/** A client on another host, one of this host's root or of this process's user, another user's. */
export type ClientKind = 'remote' | 'host' | 'user';

/** A new connection is served, gets the answer that there are too many, or is dropped silently. */
export type ConnectionDecision = 'open' | 'refused' | 'dropped';

export interface BoundsParts {
  /** Which client addresses are this host's. */
  readonly own: { has(address: string | undefined): boolean };
  /** The user of a client on this host; its result is undefined when it cannot be told. */
  readonly ownerOf: ((socket: Socket) => number | undefined) | undefined;
  /** True when no request of the connection is being answered. */
  readonly isIdle: (socket: Socket) => boolean;
  /** True when no request has come over the connection yet. */
  readonly isUnheard: (socket: Socket) => boolean;
  /** The user of this process. */
  readonly uid: number | undefined;
}

/**
 * Bounds the connections of each kind of client apart, so that neither peers nor a user of this
 * host can keep its containerd out: that runs as root, or as the user of this process. The oldest
 * idle connection makes room for a new one; other hosts share their places fairly.
 */
export class ConnectionBounds {
  readonly #parts: BoundsParts;
  readonly #max: Readonly<Record<ClientKind, number>>;
  /** The open connections that were not refused, oldest first, with the time of opening. */
  readonly #open: Readonly<Record<'host' | 'user', Map<Socket, number>>> = {
    host: new Map(),
    user: new Map(),
  };
  readonly #remotes: RemoteConnections;
  #refusalPeriodStart = Number.NEGATIVE_INFINITY;
  #answeredRefusals = 0;

  constructor(parts: BoundsParts, max: Partial<Readonly<Record<ClientKind, number>>> = {}) {
    this.#parts = parts;
    this.#max = { ...MAX_CONNECTIONS, ...max };
    this.#remotes = new RemoteConnections({ ...parts, max: this.#max.remote });
  }

  /** To be called once for each connection. */
  enter(socket: Socket): ConnectionDecision {
    const kind = this.#kindOf(socket);
    if (kind === 'remote') return this.#remotes.enter(socket) ? 'open' : this.#refusal();
    const open = this.#open[kind];
    if (open.size >= this.#max[kind]) this.#makeRoom(open);
    if (open.size >= this.#max[kind]) return this.#refusal();
    open.set(socket, performance.now());
    socket.once('close', () => open.delete(socket));
    return 'open';
  }

  /** How many requests of the connection may be under way at once. */
  maxPipelined(socket: Socket): number {
    return this.#remotes.has(socket) ? MAX_PIPELINED_REMOTE : MAX_PIPELINED;
  }

  /** A remote client has shown the key of a closed network: others make room before it. */
  markProven(socket: Socket): void {
    this.#remotes.markProven(socket);
  }

  /** True when the kernel says that the client is root's or this process's own user's. */
  isOwnUser(socket: Socket): boolean {
    return this.#parts.ownerOf !== undefined && this.#open.host.has(socket);
  }

  /** True when the client is on this host, but the kernel names another user or none. */
  isOtherUser(socket: Socket): boolean {
    return this.#open.user.has(socket);
  }

  #kindOf(socket: Socket): ClientKind {
    const { own, ownerOf, uid } = this.#parts;
    if (!own.has(socket.remoteAddress)) return 'remote';
    if (ownerOf === undefined) return 'host';
    const owner = ownerOf(socket);
    return owner === 0 || (owner !== undefined && owner === uid) ? 'host' : 'user';
  }

  #makeRoom(open: Map<Socket, number>): void {
    const now = performance.now();
    for (const [socket, openedAt] of open) {
      if (now - openedAt < FRESH_CONNECTION_MS) return;
      if (!this.#parts.isIdle(socket)) continue;
      open.delete(socket);
      endCleanly(socket);
      return;
    }
  }

  #refusal(): ConnectionDecision {
    const now = performance.now();
    if (now - this.#refusalPeriodStart >= REFUSAL_PERIOD_MS) {
      this.#refusalPeriodStart = now;
      this.#answeredRefusals = 0;
    }
    this.#answeredRefusals += 1;
    return this.#answeredRefusals <= MAX_ANSWERED_REFUSALS ? 'refused' : 'dropped';
  }
}

interface RemoteConnection {
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
  /** True when no request has come over the connection yet. */
  readonly isUnheard: (socket: Socket) => boolean;
}

/**
 * The connections of other hosts. 256 idle ones of one host kept every peer out, so one host gets
 * only some of the places, and in a full house an idle connection makes room. First goes one that
 * has shown no key, of the host that has the most. None is ended for a host that has more itself.
 */
export class RemoteConnections {
  readonly #parts: RemoteConnectionsParts;
  readonly #connections = new Map<Socket, RemoteConnection>();
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
  #makeRoom(isCandidate: (connection: RemoteConnection) => boolean, own: number): boolean {
    const now = performance.now();
    let least: Socket | undefined;
    let worst = Number.NEGATIVE_INFINITY;
    // From the oldest on: of two with the same claim, the older one goes.
    for (const [socket, connection] of this.#connections) {
      if (!isCandidate(connection) || !this.#parts.isIdle(socket)) continue;
      const count = this.#counts.of(connection.network);
      // The request of a fresh connection is on its way, unless its network has many.
      const isFresh = now - connection.since < FRESH_CONNECTION_MS && this.#parts.isUnheard(socket);
      if (isFresh && count <= own + 1) continue;
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
