import { connect, type Socket } from 'node:net';
import { parseHostPort } from '../base/address.ts';
import { RELAY_PIECE_BYTES } from './constants.ts';
import { limitUnreadBytes } from './kernel-buffers.ts';
import { PeerFailure } from './peer-failure.ts';
import { ReceiveThreshold } from './receive-threshold.ts';

/** Takes what comes over a connection. A connection has one reader after the other. */
export interface ConnectionReader {
  /**
   * Where the next bytes go. Undefined: into a buffer that all connections share, so that an idle
   * one holds none; the reader copies what it keeps of them.
   */
  readonly buffer: Uint8Array | undefined;
  /** False stops the reading until the socket is resumed. */
  onRead(bytes: Uint8Array): boolean;
  onError(error: Error): void;
  /** The peer sends no more. May be called twice. */
  onEnd(): void;
}

/** Read out at once, within the call that brings its bytes. */
const shared = Buffer.allocUnsafeSlow(RELAY_PIECE_BYTES);

/** Without it, the end of a connection that was left would reach the reader it had. */
const NOBODY: ConnectionReader = {
  buffer: undefined,
  onRead: () => false,
  onError() {},
  onEnd() {},
};

/** A connection to a peer, for one request after the other. */
export class PeerConnection {
  /** `host:port` */
  readonly address: string;
  readonly socket: Socket;
  readonly threshold: ReceiveThreshold;
  #reader: ConnectionReader;
  #isConnected = false;
  #isLimited = false;
  /** It has served a request before the present one: the peer may have closed it since. */
  wasKept = false;

  /** Throws PeerFailure `unreachable` for an address that is none. */
  constructor(address: string, reader: ConnectionReader) {
    const endpoint = parseHostPort(address);
    if (endpoint === undefined) throw new PeerFailure('unreachable', `bad address ${address}`);
    this.address = address;
    this.#reader = reader;
    const onread = {
      // Node asks for it behind each read, and never while it reads.
      buffer: () => this.#reader.buffer ?? shared,
      callback: (count: number, buffer: Uint8Array) => {
        this.threshold.took(count);
        return this.#reader.onRead(buffer.subarray(0, count));
      },
    };
    this.socket = connect({ ...endpoint, noDelay: true, onread });
    this.threshold = new ReceiveThreshold(this.socket);
    this.socket.on('connect', () => {
      this.#isConnected = true;
    });
    this.socket.on('error', (error) => this.#reader.onError(error));
    this.socket.on('end', () => this.#reader.onEnd());
    this.socket.on('close', () => this.#reader.onEnd());
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** Whether a further request may go over it. */
  get isReusable(): boolean {
    // One with less memory in the kernel would hold back a later body over a long link.
    const isWhole = this.#isConnected && !this.#isLimited && !this.socket.destroyed;
    return isWhole && this.socket.writable && this.socket.writableLength === 0;
  }

  /** For one of many bodies: the kernel takes less of it before it is read. */
  limitUnreadBytes(): void {
    this.#isLimited = limitUnreadBytes(this.socket);
  }

  /**
   * Reads on in a body of which `remaining` bytes are due. `isSpliced`: the kernel moves what is
   * behind the piece that is read.
   */
  await(remaining: number, isSpliced: boolean): void {
    this.threshold.wait(remaining, isSpliced);
    this.socket.resume();
  }

  /** From now on this reader has what comes. It is not told of what came before. */
  readBy(reader: ConnectionReader): void {
    this.#reader = reader;
    this.threshold.end();
    this.socket.resume();
  }

  /** Closes it. The reader hears nothing more. */
  drop(): void {
    this.#reader = NOBODY;
    this.threshold.end();
    this.socket.destroy();
  }
}
