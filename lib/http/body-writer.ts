import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { endCleanly } from './end-cleanly.ts';

/** The client closed, or stopped reading for good: nobody is left to answer. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/**
 * The body of one answer. `write` settles when the kernel has taken the bytes or the socket is closed, and
 * not before: only then may their buffer be reused. (Settling at an abort would hand a buffer that libuv
 * still sends from to the next transfer.)
 */
export class BodyWriter {
  readonly #response: ServerResponse;
  readonly #socket: Socket;
  readonly #stall: NodeJS.Timeout;
  #pending: PromiseWithResolvers<void> | undefined;
  #closed = false;
  /** Bytes that the kernel has taken. */
  written = 0;

  /** `stallMs`: a client that takes nothing for that long is dropped. */
  constructor(response: ServerResponse, socket: Socket, stallMs: number) {
    this.#response = response;
    this.#socket = socket;
    this.#stall = setTimeout(() => this.#onStall(), stallMs);
    this.#stall.unref();
    // The socket's event, not the response's: a pipelined response that has no socket yet never closes.
    socket.once('close', this.#onClose);
    if (socket.destroyed) this.#onClose();
  }

  /** Rejects with ClientGone. */
  async write(piece: Uint8Array): Promise<void> {
    if (this.#closed) throw new ClientGone();
    const pending = Promise.withResolvers<void>();
    this.#pending = pending;
    this.#stall.refresh();
    this.#response.write(piece, (error) => {
      if (error) pending.reject(new ClientGone());
      else pending.resolve();
    });
    await pending.promise;
    this.#pending = undefined;
    this.written += piece.byteLength;
  }

  /** Completes the answer. */
  end(): void {
    this.#release();
    this.#response.end();
  }

  /** Ends the connection in the middle of the body, cleanly: the client knows that bytes are missing. */
  cut(): void {
    this.#release();
    endCleanly(this.#socket);
  }

  #onStall(): void {
    if (this.#pending !== undefined) this.#socket.destroy();
  }

  readonly #onClose = (): void => {
    this.#closed = true;
    this.#release();
    this.#pending?.reject(new ClientGone());
  };

  #release(): void {
    clearTimeout(this.#stall);
    this.#socket.off('close', this.#onClose);
  }
}
