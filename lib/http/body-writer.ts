import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { endCleanly } from './end-cleanly.ts';

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

  /** Ends the connection cleanly within the body: the client knows that bytes are missing. */
  cut(): void {
    this.#release();
    endCleanly(this.#socket);
  }

  #onStall(): void {
    if (this.#pending !== undefined) this.#socket.destroy();
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
