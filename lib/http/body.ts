import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { acknowledgedBytes } from './acknowledged-bytes.ts';
import { endCleanly } from './end-cleanly.ts';

/** The bytes of an answer. Pulled piece by piece: nothing is read before the client takes it. */
export interface Body {
  /**
   * The next piece, valid until the following call of `next` or `close`; undefined at the end.
   * Rejects when the bytes stop coming before the end. Not to be called while a call is pending.
   */
  next(): Promise<Uint8Array | undefined>;
  /**
   * Has the kernel send to a client what it takes at once, without a copy in this process. Resolves
   * with the number of bytes; 0: `next` gives more, or there is no more. Never rejects. To be
   * called when all that `next` gave is written, and not while a call is pending.
   */
  send?(socket: Socket): Promise<number>;
  /** Frees descriptor, socket and buffers. Idempotent. To be called when no piece is in use. */
  close(): void;
}

/** A body that is in memory already. */
export function wholeBody(bytes: Uint8Array): Body {
  let rest: Uint8Array | undefined = bytes.byteLength === 0 ? undefined : bytes;
  return {
    next() {
      const piece = rest;
      rest = undefined;
      return Promise.resolve(piece);
    },
    close() {
      rest = undefined;
    },
  };
}

/**
 * Reads a body of exactly `length` bytes into memory. Rejects as `next` does, and with RangeError
 * for another length.
 */
export async function collect(body: Body, length: number): Promise<Buffer> {
  const whole = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  for (let piece = await body.next(); piece !== undefined; piece = await body.next()) {
    if (filled + piece.byteLength > length) throw new RangeError(`more than ${length} bytes`);
    whole.set(piece, filled);
    filled += piece.byteLength;
  }
  if (filled !== length) throw new RangeError(`${filled} of ${length} bytes`);
  return whole;
}

/**
 * Writes a body of `length` bytes to the client, each piece before it reads the next one. So memory
 * is bounded by the body's buffers, and a client that does not read stops the source. Rejects when
 * the body ends early or the client is gone; the caller then cuts the answer.
 */
export async function pump(body: Body, length: number, out: BodyWriter): Promise<void> {
  for (let piece = await body.next(); piece !== undefined; piece = await body.next()) {
    await out.write(piece);
    await out.send(body);
  }
  if (out.written !== length) throw new RangeError(`${out.written} of ${length} bytes`);
}

/** The client closed the connection, or stopped reading for good. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/**
 * Writes the body of one answer. `write` settles when the kernel has taken the bytes or the socket
 * is closed, and not before, because their buffer is reused then. If it settled at an abort, libuv
 * could still send from a buffer that the next transfer fills.
 */
export class BodyWriter {
  readonly #response: ServerResponse;
  readonly #socket: Socket;
  readonly #stall: NodeJS.Timeout;
  #pending: PromiseWithResolvers<void> | undefined;
  #isClosed = false;
  /** What the client had taken when it was last found to take bytes. */
  #acknowledged: bigint | undefined;
  /** Bytes that the kernel has taken. */
  written = 0;

  /** `stallMs`: a client that takes nothing for so long is dropped. */
  constructor(response: ServerResponse, socket: Socket, stallMs: number) {
    this.#response = response;
    this.#socket = socket;
    this.#stall = setTimeout(() => this.#onStall(), stallMs);
    this.#stall.unref();
    // Not the response's event: a pipelined response that has no socket yet never closes.
    socket.once('close', this.#onClose);
    if (socket.destroyed) this.#onClose();
  }

  /** Rejects with ClientGone. */
  async write(piece: Uint8Array): Promise<void> {
    if (this.#isClosed) throw new ClientGone();
    const pending = Promise.withResolvers<void>();
    this.#pending = pending;
    this.#acknowledged = acknowledgedBytes(this.#socket);
    this.#stall.refresh();
    this.#response.write(piece, (error) => {
      if (error) pending.reject(new ClientGone());
      else pending.resolve();
    });
    await pending.promise;
    this.#pending = undefined;
    this.written += piece.byteLength;
  }

  /** Has the kernel send what it can of a body. Never rejects. */
  async send(body: Body): Promise<void> {
    // What is in Node's queues would come behind the bytes that the kernel sends.
    const isIdle = this.#response.writableLength === 0 && this.#socket.writableLength === 0;
    if (this.#isClosed || !isIdle || body.send === undefined) return;
    this.written += await body.send(this.#socket);
  }

  /** Completes the answer. */
  end(): void {
    this.#release();
    this.#response.end();
  }

  /** Ends the connection cleanly within the body: the client knows that bytes are missing. */
  cut(): void {
    this.#release();
    endCleanly(this.#socket);
  }

  /**
   * The kernel takes the next piece only when a third of what it holds is gone, which may be more
   * than a megabyte. So a client that reads slowly is judged by what it has acknowledged.
   */
  #onStall(): void {
    if (this.#pending === undefined) return;
    const before = this.#acknowledged;
    this.#acknowledged = acknowledgedBytes(this.#socket);
    const isReading = (this.#acknowledged ?? 0n) > (before ?? 0n);
    if (isReading) this.#stall.refresh();
    else this.#socket.destroy();
  }

  readonly #onClose = (): void => {
    this.#isClosed = true;
    this.#release();
    this.#pending?.reject(new ClientGone());
  };

  #release(): void {
    clearTimeout(this.#stall);
    this.#socket.off('close', this.#onClose);
  }
}
