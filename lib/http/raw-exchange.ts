import type { Socket } from 'node:net';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Body } from './body.ts';
import { MIN_BYTES_PER_S, PIECE_BYTES, RELAY_PIECE_BYTES, SLOW_WINDOW_MS } from './constants.ts';
import type { KernelPipe } from './kernel-pipe.ts';
import type { ConnectionReader, PeerConnection } from './peer-connection.ts';
import type { PeerConnections } from './peer-connections.ts';
import { type FailureKind, PeerFailure } from './peer-failure.ts';
import { PeerSilence, type Watch } from './peer-silence.ts';
import { RateWindow } from './rate-window.ts';
import { formatRequest, hasBody, type RawRequest } from './raw-request.ts';
import { HeadReader, isInflightAnswer, keptMsOf, type ResponseHead } from './response-head.ts';
import { zeroCopy } from './zero-copy.ts';

type Waiter = PromiseWithResolvers<Uint8Array | undefined>;

/**
 * One request to a peer. The kernel reads into ONE buffer, which is handed on as it is: a quarter
 * of the CPU of `http.get().pipe()`. Reading stops between two calls of `next`, so a client that
 * does not read stops the peer, and that time does not count as the peer's silence.
 *
 * Its connection may be one that was kept, and is kept when the answer is complete. A kept one that
 * ends before the first byte tells nothing of the peer: it is asked anew over another.
 *
 * Times out in the body only; until then the signal is the deadline. With a `watch` the head has a
 * timeout, too.
 */
export class RawExchange implements Body {
  readonly #request: RawRequest;
  readonly #connections: PeerConnections;
  /** For the body behind the piece that came with the head. */
  #buffer: Buffer | undefined;
  readonly #signal: AbortSignal;
  readonly #watch: Watch | undefined;
  #connection: PeerConnection;
  readonly #opened = Promise.withResolvers<ResponseHead>();
  readonly #silence: PeerSilence;
  readonly #rateWindow = new RateWindow(SLOW_WINDOW_MS);
  readonly #headReader = new HeadReader();
  #head: ResponseHead | undefined;
  #isInflight = false;
  /** A byte of the answer has come. */
  #hasBegun = false;
  /** More came than the answer has. */
  #hasSurplus = false;
  /** `open` has resolved: pieces go to `next` from here on. */
  #isOpen = false;
  /** Bytes of the body still to come. */
  #remaining = 0;
  readonly #kernel = zeroCopy();
  /** Between the peer and the client. */
  #pipe: KernelPipe | undefined;
  /** To which the kernel sends. */
  #client: Socket | undefined;
  /** The piece that `open` waited for. */
  #first: Uint8Array | undefined;
  #waiter: Waiter | undefined;
  #failure: PeerFailure | undefined;
  #isClosed = false;

  /**
   * Resolves when the head and, of a 200 or 206, the first byte of the body are here: a peer that
   * freezes behind its head has not answered. Rejects with PeerFailure (`silent` when the signal is
   * aborted). The signal ends the body, too.
   */
  static async open(
    request: RawRequest,
    connections: PeerConnections,
    signal: AbortSignal,
    watch?: Watch,
  ): Promise<{ readonly head: ResponseHead; readonly exchange: RawExchange }> {
    const exchange = new RawExchange(request, connections, signal, watch);
    try {
      return { head: await exchange.#opened.promise, exchange };
    } catch (error) {
      exchange.close();
      throw error;
    }
  }

  private constructor(
    request: RawRequest,
    connections: PeerConnections,
    signal: AbortSignal,
    watch: Watch | undefined,
  ) {
    this.#request = request;
    this.#connections = connections;
    this.#signal = signal;
    this.#watch = watch;
    this.#connection = connections.take(request.address, this.#reader());
    this.#connection.socket.write(formatRequest(request));
    this.#silence = new PeerSilence({
      judge: async (silentMs) =>
        this.#head === undefined || watch === undefined
          ? 'silent'
          : await watch.onSilence(this.#head, silentMs),
      fail: (kind, reason) => this.#fail(kind, reason),
    });
    // Without a watch, the signal is the deadline of the head.
    if (watch !== undefined) this.#silence.begin();
    signal.addEventListener('abort', this.#onAbort, { once: true });
    if (signal.aborted) this.#onAbort();
  }

  next(): Promise<Uint8Array | undefined> {
    const first = this.#first;
    this.#first = undefined;
    if (first !== undefined) return Promise.resolve(first);
    const held = this.#readPipe();
    if (held !== undefined) return Promise.resolve(held);
    if (this.#remaining === 0) return Promise.resolve(undefined);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const waiter = Promise.withResolvers<Uint8Array | undefined>();
    this.#waiter = waiter;
    this.#rateWindow.wait();
    this.#silence.begin();
    // What a peer has in flight is handed on at once: each of up to 16 hosts would hold it up.
    this.#connection.await(this.#isInflight ? 1 : this.#remaining, this.#pipe !== undefined);
    return waiter.promise;
  }

  /**
   * Has the kernel give the client what the peer has sent. The last PIECE_BYTES always come by
   * `next`. Resolves with the number of bytes that the client got. Never rejects.
   */
  async send(client: Socket): Promise<number> {
    const isReady = this.#isOpen && this.#first === undefined && this.#waiter === undefined;
    if (this.#isClosed || this.#failure !== undefined || !isReady) return 0;
    const wanted = Math.max(0, this.#remaining - PIECE_BYTES);
    // A small body would make a pipe in vain.
    const pipe = this.#pipe ?? (wanted > 0 ? this.#kernel?.takePipe() : undefined);
    if (this.#kernel === undefined || pipe === undefined) return 0;
    this.#pipe = pipe;
    this.#client = client;
    const { held } = pipe;
    const { socket } = this.#connection;
    const sent = await this.#kernel.relay({ from: socket, to: client, pipe, wanted });
    const taken = sent + pipe.held - held;
    this.#remaining -= taken;
    this.#rateWindow.add(taken);
    this.#connection.threshold.took(taken);
    return sent;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#pipe?.close();
    if (this.#client !== undefined) this.#kernel?.release(this.#client);
    this.#silence.close();
    this.#signal.removeEventListener('abort', this.#onAbort);
    const isComplete = this.#remaining === 0 && !this.#hasSurplus && this.#failure === undefined;
    if (this.#head !== undefined && isComplete)
      this.#connections.keep(this.#connection, keptMsOf(this.#head));
    else this.#connection.drop();
    if (this.#buffer !== undefined) this.#connections.buffers.give(this.#buffer);
  }

  #reader(): ConnectionReader {
    const bufferOfBody = () => this.#bufferOfBody();
    return {
      get buffer() {
        return bufferOfBody();
      },
      onRead: (bytes) => this.#onRead(bytes),
      onError: (error) => this.#onError(error),
      onEnd: () => this.#onEnd(),
    };
  }

  /** Where the next bytes of the body go. Undefined: none are due. */
  #bufferOfBody(): Buffer | undefined {
    if (this.#remaining === 0 || this.#failure !== undefined || this.#isClosed) return undefined;
    const buffer = this.#takeBuffer();
    // The kernel moves what is behind a short piece.
    return this.#kernel ? buffer.subarray(0, RELAY_PIECE_BYTES) : buffer;
  }

  #takeBuffer(): Buffer {
    const { buffers } = this.#connections;
    if (this.#buffer === undefined && buffers.isCrowded) this.#connection.limitUnreadBytes();
    this.#buffer ??= buffers.take();
    return this.#buffer;
  }

  #readPipe(): Buffer | undefined {
    if (this.#pipe === undefined || this.#pipe.held === 0) return undefined;
    const buffer = this.#takeBuffer().subarray(0, PIECE_BYTES);
    const count = this.#pipe.read(buffer);
    return count === 0 ? undefined : buffer.subarray(0, count);
  }

  /** False stops reading until `next`. */
  #onRead(bytes: Uint8Array): boolean {
    if (this.#failure !== undefined) return false;
    this.#hasBegun = true;
    return this.#isOpen ? this.#onBody(bytes) : this.#onOpening(bytes);
  }

  #onOpening(bytes: Uint8Array): boolean {
    let body = bytes;
    if (this.#head === undefined) {
      const found = this.#readHead(bytes);
      if (found === undefined) return this.#failure === undefined;
      this.#head = found.head;
      this.#isInflight = isInflightAnswer(found.head);
      this.#remaining = hasBody(this.#request, found.head) ? found.head.contentLength : 0;
      // The connection's buffer is read into again.
      body = this.#remaining > 0 ? Buffer.from(found.rest) : found.rest;
    }
    const needsFirst = this.#remaining > 0 && [200, 206].includes(this.#head.status);
    if (needsFirst && body.byteLength === 0) return true;
    const first = this.#take(body);
    this.#first = needsFirst ? first : undefined;
    this.#isOpen = true;
    this.#silence.end();
    this.#opened.resolve(this.#head);
    return false;
  }

  #readHead(bytes: Uint8Array): ReturnType<HeadReader['push']> {
    try {
      return this.#headReader.push(bytes);
    } catch (error) {
      this.#fail('invalid', messageOf(error));
      return undefined;
    }
  }

  #onBody(bytes: Uint8Array): boolean {
    const piece = this.#take(bytes);
    const rate = this.#rateWindow.took(piece.byteLength) ?? MIN_BYTES_PER_S;
    if (rate < MIN_BYTES_PER_S && this.#remaining > 0) {
      this.#fail(this.#failureOf('silent'), `slower than ${MIN_BYTES_PER_S} bytes/s`);
    } else {
      this.#settle()?.resolve(piece);
    }
    return false;
  }

  /** Bytes beyond the promised length are not part of the answer. */
  #take(bytes: Uint8Array): Uint8Array {
    const piece = bytes.subarray(0, this.#remaining);
    this.#hasSurplus ||= piece.byteLength < bytes.byteLength;
    this.#remaining -= piece.byteLength;
    return piece;
  }

  #failureOf(kind: 'short' | 'silent'): FailureKind {
    return (this.#head && this.#watch?.failureOf(this.#head, kind)) ?? kind;
  }

  readonly #onAbort = (): void => this.#fail('silent', 'no answer in time');

  #onError(error: Error): void {
    if (this.#askAnew()) return;
    const isTimeout = ['ETIMEDOUT', 'EHOSTUNREACH'].includes(codeOf(error) ?? '');
    const kind = isTimeout ? 'silent' : 'reset';
    this.#fail(this.#connection.isConnected ? kind : 'unreachable', messageOf(error));
  }

  #onEnd(): void {
    if (this.#askAnew()) return;
    const kind = this.#head === undefined ? 'reset' : this.#failureOf('short');
    this.#fail(kind, 'the connection ended too early');
  }

  /** The peer closed a kept connection before it read the request: that is no failure of it. */
  #askAnew(): boolean {
    const { wasKept } = this.#connection;
    if (!wasKept || this.#hasBegun || this.#failure !== undefined || this.#isClosed) return false;
    this.#connection.drop();
    this.#connections.drop(this.#request.address);
    this.#connection = this.#connections.open(this.#request.address, this.#reader());
    this.#connection.socket.write(formatRequest(this.#request));
    return true;
  }

  /** Keeps the buffer until `close`: a piece of it may still be on its way to the client. */
  #fail(kind: FailureKind, reason: string): void {
    if (this.#failure !== undefined || this.#isClosed) return;
    this.#failure = new PeerFailure(kind, `${this.#request.address}: ${reason}`);
    this.#connection.drop();
    // The others to a peer that fails may be dead as well. A client that leaves says nothing of it.
    if (this.#head === undefined || !this.#signal.aborted)
      this.#connections.drop(this.#request.address);
    this.#opened.reject(this.#failure);
    this.#settle()?.reject(this.#failure);
  }

  #settle(): Waiter | undefined {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    this.#silence.end();
    return waiter;
  }
}
