import { connect, type Socket } from 'node:net';
import { parseHostPort } from '../base/address.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Body } from './body.ts';
import type { BufferPool } from './buffers.ts';
import {
  BODY_SILENCE_MS,
  MIN_BYTES_PER_S,
  PIECE_BYTES,
  RELAY_PIECE_BYTES,
  SLOW_WINDOW_MS,
} from './constants.ts';
import { limitUnreadBytes } from './kernel-buffers.ts';
import type { KernelPipe } from './kernel-pipe.ts';
import { type FailureKind, PeerFailure } from './peer-failure.ts';
import { RateWindow } from './rate-window.ts';
import { formatRequest, hasBody, type RawRequest } from './raw-request.ts';
import { HeadReader, type ResponseHead } from './response-head.ts';
import { zeroCopy } from './zero-copy.ts';

/** Judges a peer that is silent or ends early, by more than its bytes tell. */
export interface Watch {
  /**
   * Called when the peer has answered, but has sent nothing for `silentMs`. Resolves to the failure
   * for which it is given up, or to the silence in milliseconds after which it is judged again.
   * Never rejects.
   */
  onSilence(head: ResponseHead, silentMs: number): Promise<FailureKind | number>;
  /** The failure of a peer that ends its body early (`short`) or is next to silent (`silent`). */
  failureOf(head: ResponseHead, kind: 'short' | 'silent'): FailureKind;
}

type Waiter = PromiseWithResolvers<Uint8Array | undefined>;

/**
 * One request to a peer over a connection of its own. The kernel reads into ONE buffer, which is
 * handed on as it is: a quarter of the CPU of `http.get().pipe()`. Reading stops between two calls
 * of `next`, so a client that does not read stops the peer, and that time does not count as the
 * peer's silence.
 *
 * Times out in the body only; until then the signal is the deadline. With a `watch` the head has a
 * timeout, too.
 */
export class RawExchange implements Body {
  readonly #request: RawRequest;
  readonly #buffers: BufferPool;
  readonly #buffer: Buffer;
  readonly #signal: AbortSignal;
  readonly #watch: Watch | undefined;
  readonly #socket: Socket;
  readonly #opened = Promise.withResolvers<ResponseHead>();
  readonly #silence: NodeJS.Timeout;
  /** Fires when a peer that was silent and is still waited for is judged again. */
  #later: NodeJS.Timeout | undefined;
  #silentSince = performance.now();
  readonly #rateWindow = new RateWindow(SLOW_WINDOW_MS);
  readonly #headReader = new HeadReader();
  #head: ResponseHead | undefined;
  #isConnected = false;
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
    buffers: BufferPool,
    signal: AbortSignal,
    watch?: Watch,
  ): Promise<{ readonly head: ResponseHead; readonly exchange: RawExchange }> {
    const exchange = new RawExchange(request, buffers, signal, watch);
    try {
      return { head: await exchange.#opened.promise, exchange };
    } catch (error) {
      exchange.close();
      throw error;
    }
  }

  private constructor(
    request: RawRequest,
    buffers: BufferPool,
    signal: AbortSignal,
    watch: Watch | undefined,
  ) {
    const endpoint = parseHostPort(request.address);
    if (endpoint === undefined)
      throw new PeerFailure('unreachable', `bad address ${request.address}`);
    this.#request = request;
    this.#buffers = buffers;
    this.#signal = signal;
    this.#watch = watch;
    const isOneOfMany = buffers.isCrowded;
    this.#buffer = buffers.take();
    this.#silence = setTimeout(() => this.#onSilence(), BODY_SILENCE_MS);
    // The kernel moves what is behind a short piece.
    const buffer = this.#kernel ? this.#buffer.subarray(0, RELAY_PIECE_BYTES) : this.#buffer;
    const onread = { buffer, callback: (count: number) => this.#onRead(count) };
    this.#socket = connect({ ...endpoint, noDelay: true, onread });
    this.#socket.on('error', (error) => this.#onError(error));
    this.#socket.on('connect', () => {
      this.#isConnected = true;
      if (isOneOfMany) limitUnreadBytes(this.#socket);
    });
    this.#socket.on('end', () => this.#onEnd());
    this.#socket.on('close', () => this.#onEnd());
    this.#socket.write(formatRequest(request));
    signal.addEventListener('abort', this.#onAbort, { once: true });
    if (signal.aborted) this.#onAbort();
  }

  next(): Promise<Uint8Array | undefined> {
    const first = this.#first;
    this.#first = undefined;
    if (first !== undefined) return Promise.resolve(first);
    const held = this.#pipe?.read(this.#buffer.subarray(0, PIECE_BYTES)) ?? 0;
    if (held > 0) return Promise.resolve(this.#buffer.subarray(0, held));
    if (this.#remaining === 0) return Promise.resolve(undefined);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const waiter = Promise.withResolvers<Uint8Array | undefined>();
    this.#waiter = waiter;
    this.#rateWindow.wait();
    this.#silentSince = performance.now();
    // A timer that is left from before belongs to another silence.
    clearTimeout(this.#later);
    this.#silence.refresh();
    this.#socket.resume();
    return waiter.promise;
  }

  /**
   * Has the kernel give the client what the peer has sent. The last PIECE_BYTES always come by
   * `next`. Resolves with the number of bytes that the client got. Never rejects.
   */
  async send(client: Socket): Promise<number> {
    const isReady = this.#isOpen && this.#first === undefined && this.#waiter === undefined;
    if (this.#isClosed || this.#failure !== undefined || !isReady) return 0;
    const pipe = this.#pipe ?? this.#kernel?.takePipe();
    if (this.#kernel === undefined || pipe === undefined) return 0;
    this.#pipe = pipe;
    this.#client = client;
    const { held } = pipe;
    const wanted = Math.max(0, this.#remaining - PIECE_BYTES);
    const sent = await this.#kernel.relay({ from: this.#socket, to: client, pipe, wanted });
    const taken = sent + pipe.held - held;
    this.#remaining -= taken;
    this.#rateWindow.add(taken);
    return sent;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#pipe?.close();
    if (this.#client !== undefined) this.#kernel?.release(this.#client);
    clearTimeout(this.#silence);
    clearTimeout(this.#later);
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#socket.destroy();
    this.#buffers.give(this.#buffer);
  }

  /** The socket has put `count` bytes into the buffer. False stops reading until `next`. */
  #onRead(count: number): boolean {
    if (this.#failure !== undefined) return false;
    const bytes = this.#buffer.subarray(0, count);
    return this.#isOpen ? this.#onBody(bytes) : this.#onOpening(bytes);
  }

  #onOpening(bytes: Uint8Array): boolean {
    let body = bytes;
    if (this.#head === undefined) {
      const found = this.#readHead(bytes);
      if (found === undefined) return this.#failure === undefined;
      this.#head = found.head;
      this.#remaining = hasBody(this.#request, found.head) ? found.head.contentLength : 0;
      body = found.rest;
    }
    const { status } = this.#head;
    const needsFirst = this.#remaining > 0 && (status === 200 || status === 206);
    if (needsFirst && body.byteLength === 0) return true;
    this.#first = needsFirst ? this.#take(body) : undefined;
    this.#isOpen = true;
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
    this.#remaining -= piece.byteLength;
    return piece;
  }

  /**
   * The timer may be late because this process was busy. Node reads bytes that came meanwhile
   * between timers and immediates, so the peer is judged in an immediate.
   */
  #onSilence(waiter = this.#waiter): void {
    if (!this.#isAwaited(waiter)) return;
    setImmediate(() => {
      if (this.#isAwaited(waiter)) void this.#judgeSilence(waiter);
    });
  }

  /** True while nothing has come for this call of `next`; undefined stands for `open`. */
  #isAwaited(waiter: Waiter | undefined): boolean {
    if (this.#isClosed || this.#failure !== undefined) return false;
    if (waiter === undefined) return this.#watch !== undefined && !this.#isOpen;
    return this.#waiter === waiter;
  }

  async #judgeSilence(waiter: Waiter | undefined): Promise<void> {
    const silentMs = () => performance.now() - this.#silentSince;
    const reason = `no byte within ${Math.round(silentMs())} ms`;
    const verdict =
      this.#head === undefined || this.#watch === undefined
        ? 'silent'
        : await this.#watch.onSilence(this.#head, silentMs());
    // Bytes may have come while the watch asked the peer.
    if (!this.#isAwaited(waiter)) return;
    if (typeof verdict === 'string') return this.#fail(verdict, reason);
    const laterMs = Math.min(BODY_SILENCE_MS, Math.max(1, verdict - silentMs()));
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.#onSilence(waiter), laterMs);
  }

  #failureOf(kind: 'short' | 'silent'): FailureKind {
    return (this.#head && this.#watch?.failureOf(this.#head, kind)) ?? kind;
  }

  readonly #onAbort = (): void => this.#fail('silent', 'no answer in time');

  #onError(error: Error): void {
    const isTimeout = ['ETIMEDOUT', 'EHOSTUNREACH'].includes(codeOf(error) ?? '');
    this.#fail(
      this.#isConnected ? (isTimeout ? 'silent' : 'reset') : 'unreachable',
      messageOf(error),
    );
  }

  #onEnd(): void {
    const kind = this.#head === undefined ? 'reset' : this.#failureOf('short');
    this.#fail(kind, 'the connection ended too early');
  }

  /** Keeps the buffer until `close`: a piece of it may still be on its way to the client. */
  #fail(kind: FailureKind, reason: string): void {
    if (this.#failure !== undefined || this.#isClosed) return;
    this.#failure = new PeerFailure(kind, `${this.#request.address}: ${reason}`);
    this.#socket.destroy();
    this.#opened.reject(this.#failure);
    this.#settle()?.reject(this.#failure);
  }

  #settle(): Waiter | undefined {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    return waiter;
  }
}
