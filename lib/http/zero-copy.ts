import type * as Ffi from 'node:ffi';
import type { FileHandle } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { withFfi } from '../base/with-ffi.ts';
import { LOOK_MS, SEND_SLICE_BYTES, SLOW_SLICE_MS } from './constants.ts';
import { descriptorOf } from './descriptor.ts';
import { type KernelPipe, KernelPipes } from './kernel-pipe.ts';
import { PageCache } from './page-cache.ts';
import { SendTurns } from './send-turns.ts';
import { WideClients } from './wide-clients.ts';

const LIBC = {
  sendfile: { return: 'i64', arguments: ['i32', 'i32', 'buffer', 'u64'] },
} as const;

/** Bytes of a file, on their way to a client. */
export interface FileRange {
  readonly file: FileHandle;
  readonly start: number;
  readonly end: number;
  /** The same for all ranges of one body. */
  readonly look: Look;
}

/** What the page cache was last found to have. */
export interface Look {
  /** The bytes before it. */
  end: number;
  /** When that was, on the monotonic clock in ms. */
  at: number;
}

/** What became of a FileRange. */
export interface SentFile {
  /** Bytes that the kernel has taken. */
  readonly bytes: number;
  /** The disk would have to be asked for the next ones, or had to be for these. */
  readonly isCold: boolean;
}

/** A body on its way from a peer to a client. */
export interface Relay {
  readonly from: Socket;
  readonly to: Socket;
  readonly pipe: KernelPipe;
  /** How many bytes may be taken from the peer. */
  readonly wanted: number;
}

/**
 * Has the kernel send files (sendfile(2)) and what comes from peers (splice(2)) to clients, without
 * a copy in this process. It runs on the main thread: so the bodies take turns, and of a file only
 * what the page cache has is sent.
 */
export class ZeroCopy {
  readonly #libc: ReturnType<typeof Ffi.dlopen<typeof LIBC>>['functions'];
  readonly #offset = Buffer.alloc(8);
  readonly #turns = new SendTurns();
  readonly #pipes: KernelPipes;
  readonly #wideClients = new WideClients();
  readonly pageCache: PageCache;

  /** Throws where libc lacks one of the calls. */
  constructor(ffi: typeof Ffi) {
    this.pageCache = new PageCache(ffi);
    this.#libc = ffi.dlopen(null, LIBC).functions;
    this.#pipes = new KernelPipes(ffi);
  }

  /**
   * Sends as many bytes as the socket takes at once and the page cache has, after the turns of the
   * bodies that came before. Never rejects. The socket's own queue must be empty until then.
   */
  async send(socket: Socket, range: FileRange): Promise<SentFile> {
    const sent = await this.#turns.run((stopAt) => this.#sendNow(socket, range, stopAt));
    this.#wideClients.sent(socket, sent.bytes);
    return sent;
  }

  /** A pipe for one relay, which the caller closes; undefined while there are too many. */
  takePipe(): KernelPipe | undefined {
    return this.#pipes.take();
  }

  /**
   * Moves as many bytes as the peer has sent and the client takes at once. Resolves with the number
   * of those that the client got; the pipe may hold some more. Never rejects. Nobody may read from
   * the peer until then, and the client's own queue must be empty.
   */
  async relay(relay: Relay): Promise<number> {
    const bytes = await this.#turns.run((stopAt) => relayNow(relay, stopAt));
    this.#wideClients.sent(relay.to, bytes);
    return bytes;
  }

  /** The body that was sent to this client is over. */
  release(socket: Socket): void {
    this.#wideClients.release(socket);
  }

  #sendNow(socket: Socket, range: FileRange, stopAt: number): SentFile {
    const { file, start, end } = range;
    let position = start;
    let isCold = false;
    while (position < end) {
      const wanted = this.#cachedBytes(range, position);
      const descriptor = descriptorOf(socket);
      isCold = wanted === 0;
      if (isCold || descriptor === undefined) break;
      const began = performance.now();
      this.#offset.writeBigInt64LE(BigInt(position));
      const sent = Number(this.#libc.sendfile(descriptor, file.fd, this.#offset, BigInt(wanted)));
      const now = performance.now();
      if (sent > 0) position += sent;
      isCold = now - began > SLOW_SLICE_MS;
      // The client takes no more. Where something is wrong, the next write by Node tells what.
      if (isCold || sent < wanted || now > stopAt) break;
    }
    return { bytes: position - start, isCold };
  }

  /**
   * Without this look, sendfile waits for the disk, and with it everything in this process. A slow
   * client takes little at a time: what was just found is not looked for again.
   */
  #cachedBytes({ file, end, look }: FileRange, position: number): number {
    if (look.end <= position || performance.now() - look.at > LOOK_MS) {
      const sliceEnd = Math.min(end, position + SEND_SLICE_BYTES);
      look.end = position + this.pageCache.cachedBytes(file, position, sliceEnd);
      look.at = performance.now();
    }
    return Math.min(look.end, end) - position;
  }
}

function relayNow({ from, to, pipe, wanted }: Relay, stopAt: number): number {
  let taken = 0;
  let sent = 0;
  do {
    const came = pipe.fill(from, wanted - taken);
    taken += came;
    sent += pipe.drain(to);
    // The peer has sent no more, or the client takes no more.
    if (came === 0 || pipe.held > 0) break;
  } while (performance.now() < stopAt);
  return sent;
}

/** One for the whole process. Undefined where this Node cannot call libc, or libc lacks a call. */
export const zeroCopy = withFfi((ffi) => {
  try {
    return new ZeroCopy(ffi);
  } catch {
    return undefined;
  }
});
