import type { Socket } from 'node:net';
import { endCleanly } from './end-cleanly.ts';
import { FRESH_MS, RemoteConnections } from './remote-connections.ts';

/** Whose a client is: another host's, this host's own containerd's, or another user's of this host. */
export type ClientKind = 'remote' | 'host' | 'user';

/** What becomes of a new connection: it is served, told that there are too many, or dropped without a word. */
export type ConnectionDecision = 'open' | 'refused' | 'dropped';

export interface BoundsParts {
  /** Which clients are this host itself. */
  readonly own: { has(address: string | undefined): boolean };
  /** The user of a client of this host; undefined: it cannot be told. */
  readonly ownerOf: ((socket: Socket) => number | undefined) | undefined;
  /** Nothing is being answered on it. */
  readonly isIdle: (socket: Socket) => boolean;
  /** The user of this process. */
  readonly uid: number | undefined;
}

/**
 * Bounds connections, of each kind for itself: neither peers nor a user of this host can keep its
 * containerd out, which runs as root, or as the same user as this process. The oldest connection
 * that does nothing makes room for a new one; between other hosts the places are shared fairly.
 */
export class ConnectionBounds {
  readonly #parts: BoundsParts;
  readonly #max: Readonly<Record<ClientKind, number>>;
  /** The open ones that were not refused, the oldest first, with the time when each was opened. */
  readonly #open: Readonly<Record<'host' | 'user', Map<Socket, number>>> = {
    host: new Map(),
    user: new Map(),
  };
  readonly #remotes: RemoteConnections;
  #toldSince = Number.NEGATIVE_INFINITY;
  #told = 0;

  constructor(parts: BoundsParts, max: Partial<Readonly<Record<ClientKind, number>>> = {}) {
    this.#parts = parts;
    this.#max = { ...MAX_CONNECTIONS, ...max };
    this.#remotes = new RemoteConnections({ max: this.#max.remote, isIdle: parts.isIdle });
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

  /** How many requests may be under way on it at once. */
  mostPipelined(socket: Socket): number {
    return this.#remotes.has(socket) ? MAX_PIPELINED_REMOTE : MAX_PIPELINED;
  }

  /** A client elsewhere has shown the key of a closed network: others make room before it. */
  proven(socket: Socket): void {
    this.#remotes.proven(socket);
  }

  /** It is root's or this process' own user's, as far as the kernel says whose it is. */
  isHosts(socket: Socket): boolean {
    return this.#parts.ownerOf !== undefined && this.#open.host.has(socket);
  }

  /** The kernel says that it is another user's of this host. */
  isUsers(socket: Socket): boolean {
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
      if (now - openedAt < FRESH_MS) return;
      if (!this.#parts.isIdle(socket)) continue;
      open.delete(socket);
      endCleanly(socket);
      return;
    }
  }

  #refusal(): ConnectionDecision {
    return this.#mayTell() ? 'refused' : 'dropped';
  }

  #mayTell(): boolean {
    const now = performance.now();
    if (now - this.#toldSince >= TOLD_MS) {
      this.#toldSince = now;
      this.#told = 0;
    }
    this.#told += 1;
    return this.#told <= MAX_TOLD;
  }
}

/**
 * Measured for a client that does not read, here and in the kernel: 0.8 MB for a blob out of the
 * store, 5.9 MB for each of the first 16 blobs from a peer and 2.3 MB for further ones; nothing has
 * more than a manifest's 4 MiB beside that. Eighty hosts with three layers in flight are 240
 * strangers; trackers send no more than a few. Twenty images of ten layers that this host's
 * containerd pulls at once are 200, which it reads.
 */
const MAX_CONNECTIONS: Readonly<Record<ClientKind, number>> = {
  remote: 256,
  host: 512,
  user: 32,
};

/** An answer takes a third of a millisecond of this thread, and two seconds until a silent client is dropped. */
const MAX_TOLD = 64;
const TOLD_MS = 1_000;

/** containerd does not pipeline; each waiting request costs memory and a lookup. */
const MAX_PIPELINED = 4;

/**
 * No peer pipelines; its next request may come while the last bytes of an answer are on their way.
 */
const MAX_PIPELINED_REMOTE = 2;
