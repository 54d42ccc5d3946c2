/** Peers on raw sockets that give ranges of a blob at a rate, and fail as a test wants. */
import type { Socket } from 'node:net';
import { delay } from '../../../lib/base/abortable.ts';
import { type FakePeer, startPeer } from '../raw-peer.ts';
import type { Cleanup } from '../support.ts';

/** What happens once a peer has sent so many bytes in all. */
export interface Fault {
  readonly afterBytes: number;
  readonly act: (peer: RatedPeer, socket: Socket) => void;
}

/** A peer that gives at most a number of bytes per millisecond. */
export class RatedPeer {
  readonly #bytes: Buffer;
  readonly #fault: Fault | undefined;
  readonly #sockets = new Set<Socket>();
  bytesPerMs: number;
  /** It sends nothing for so long, once. */
  pauseMs = 0;
  /** It sends no more, and says nothing. */
  isFrozen = false;
  /** It takes requests, and does not answer. */
  isDeaf = false;
  /** It gives the whole blob for a range. */
  knowsNoRange = false;
  /** It answers 404 from now on. */
  isEmpty = false;
  /** Bytes sent in all. */
  sent = 0;
  /** Answers that are not complete. */
  running = 0;
  peer: FakePeer | undefined;

  constructor(bytes: Buffer, bytesPerMs: number, fault?: Fault) {
    this.#bytes = bytes;
    this.bytesPerMs = bytesPerMs;
    this.#fault = fault;
  }

  async start(cleanup: Cleanup): Promise<this> {
    this.peer = await startPeer(cleanup, (socket, head) => void this.#answer(socket, head));
    cleanup(() => {
      for (const socket of this.#sockets) socket.destroy();
    });
    return this;
  }

  async #answer(socket: Socket, head: string): Promise<void> {
    this.#sockets.add(socket);
    if (this.isDeaf) return;
    if (this.isEmpty) {
      socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const size = this.#bytes.byteLength;
    const range = this.knowsNoRange ? null : /^range: bytes=(\d+)-(\d*)/im.exec(head);
    const start = Number(range?.[1] ?? 0);
    const end = range?.[2] ? Number(range[2]) + 1 : size;
    const status = range ? '206 Partial Content' : '200 OK';
    const told = range ? `Content-Range: bytes ${start}-${end - 1}/${size}\r\n` : '';
    socket.write(`HTTP/1.1 ${status}\r\nContent-Length: ${end - start}\r\n${told}\r\n`);
    this.running += 1;
    await this.#send(socket, start, end);
    this.running -= 1;
  }

  async #send(socket: Socket, start: number, end: number): Promise<void> {
    let at = start;
    let due = performance.now();
    while (at < end && !socket.destroyed) {
      if (this.#fault !== undefined && this.sent >= this.#fault.afterBytes)
        this.#fault.act(this, socket);
      if (this.pauseMs > 0) {
        const { pauseMs } = this;
        this.pauseMs = 0;
        await delay(pauseMs);
      }
      if (this.isFrozen || socket.destroyed || socket.writableEnded) return;
      const piece = this.#bytes.subarray(at, Math.min(end, at + PIECE_BYTES));
      if (!socket.write(piece)) await drained(socket);
      at += piece.byteLength;
      this.sent += piece.byteLength;
      due = Math.max(due, performance.now() - SLACK_MS) + piece.byteLength / this.bytesPerMs;
      const waitMs = due - performance.now();
      if (waitMs > 1) await delay(waitMs);
    }
  }
}

const PIECE_BYTES = 16 * 1024;

/** A timer may be late by so much, and the peer catches up. */
const SLACK_MS = 50;

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('drain', resolve);
    socket.once('close', resolve);
  });
}
