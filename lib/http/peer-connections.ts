import type { BufferPool } from './buffers.ts';
import { MAX_KEPT, MAX_KEPT_PER_PEER } from './constants.ts';
import { type ConnectionReader, PeerConnection } from './peer-connection.ts';
import { isQuiet } from './quiet-socket.ts';

/**
 * The connections to peers. One whose answer was complete is kept for a while for the next request
 * to the same address: a small blob costs more to connect than to send. Also lends the buffers of
 * bodies.
 */
export class PeerConnections {
  readonly buffers: BufferPool;
  /** Those that serve no request, the one that was kept last at the end. */
  readonly #idle = new Map<PeerConnection, NodeJS.Timeout>();
  #isClosed = false;

  constructor(buffers: BufferPool) {
    this.buffers = buffers;
  }

  /** How many are kept for this address now; without one, in all. */
  kept(address?: string): number {
    return this.#keptFor(address).length;
  }

  /**
   * A kept connection to the peer, or a new one. Throws PeerFailure `unreachable` for an address
   * that is none.
   */
  take(address: string, reader: ConnectionReader): PeerConnection {
    for (const connection of this.#keptFor(address).reverse()) {
      this.#forget(connection);
      // What came before the request would pass for its answer.
      if (!connection.isReusable || !isQuiet(connection.socket)) {
        connection.drop();
        continue;
      }
      connection.wasKept = true;
      connection.socket.ref();
      connection.readBy(reader);
      return connection;
    }
    return this.open(address, reader);
  }

  /** A new connection. Throws as `take` does. */
  open(address: string, reader: ConnectionReader): PeerConnection {
    return new PeerConnection(address, reader);
  }

  /**
   * Keeps a connection for `idleMs` that has no unread byte of an answer, unless it cannot serve
   * another request. The oldest one makes room.
   */
  keep(connection: PeerConnection, idleMs: number): void {
    if (this.#isClosed || idleMs <= 0 || !connection.isReusable) {
      connection.drop();
      return;
    }
    const ofPeer = this.#keptFor(connection.address);
    const [oldest] = ofPeer.length < MAX_KEPT_PER_PEER ? this.#idle.keys() : ofPeer;
    const isFull = ofPeer.length >= MAX_KEPT_PER_PEER || this.#idle.size >= MAX_KEPT;
    if (isFull && oldest !== undefined) this.#end(oldest);
    const timer = setTimeout(() => this.#end(connection), idleMs);
    this.#idle.set(connection, timer);
    // A process that has nothing else to do ends.
    timer.unref();
    connection.socket.unref();
    connection.readBy(this.#idleReader(connection));
  }

  /** Closes those that are kept for this address: it is gone, or has started anew. */
  drop(address: string): void {
    for (const connection of this.#keptFor(address)) this.#end(connection);
  }

  /** Closes all that are kept, and keeps none any more. */
  close(): void {
    this.#isClosed = true;
    for (const connection of [...this.#idle.keys()]) this.#end(connection);
  }

  /** Nothing is due on an idle connection: whatever happens, it is closed. */
  #idleReader(connection: PeerConnection): ConnectionReader {
    const end = () => this.#end(connection);
    const onRead = () => {
      end();
      return false;
    };
    return { buffer: undefined, onRead, onError: end, onEnd: end };
  }

  #keptFor(address: string | undefined): PeerConnection[] {
    const isMeant = (one: PeerConnection) => address === undefined || one.address === address;
    return [...this.#idle.keys()].filter(isMeant);
  }

  #end(connection: PeerConnection): void {
    this.#forget(connection);
    connection.drop();
  }

  #forget(connection: PeerConnection): void {
    clearTimeout(this.#idle.get(connection));
    this.#idle.delete(connection);
  }
}
