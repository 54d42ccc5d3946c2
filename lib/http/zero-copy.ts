import type * as Ffi from 'node:ffi';
import type { FileHandle } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { PROBE_BYTES, SEND_SLICE_BYTES } from './constants.ts';
import { descriptorOf } from './descriptor.ts';
import { type KernelPipe, KernelPipes } from './kernel-pipe.ts';
import { SendTurns, type SendWork } from './send-turns.ts';
import { WideClients } from './wide-clients.ts';

// Linux, the same on every architecture that Node runs on: preadv2(2), `struct iovec`.
const RWF_NOWAIT = 8;
const IOVEC_BYTES = 16;
const LENGTH_AT = 8;

const LIBC = {
  sendfile: { return: 'i64', arguments: ['i32', 'i32', 'buffer', 'u64'] },
  preadv2: { return: 'i64', arguments: ['i32', 'buffer', 'i32', 'i64', 'i32'] },
} as const;

/** Bytes of a file, on their way to a client. */
export interface FileRange {
  readonly file: FileHandle;
  readonly start: number;
  readonly end: number;
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
  readonly #ffi: typeof Ffi;
  readonly #libc: ReturnType<typeof Ffi.dlopen<typeof LIBC>>['functions'];
  readonly #offset = Buffer.alloc(8);
  readonly #vector = Buffer.alloc(IOVEC_BYTES);
  readonly #probe = Buffer.alloc(1);
  readonly #turns = new SendTurns();
  readonly #pipes: KernelPipes;
  readonly #wideClients = new WideClients();

  constructor(ffi: typeof Ffi) {
    this.#ffi = ffi;
    this.#libc = ffi.dlopen(null, LIBC).functions;
    this.#pipes = new KernelPipes(ffi);
  }

  /**
   * Reads what the page cache has of a file at once. Returns the number of bytes; 0 where the disk
   * would have to be asked, where the file system cannot tell, and at the end of the file.
   */
  readCached({ fd }: FileHandle, buffer: Uint8Array, position: number): number {
    this.#vector.writeBigUInt64LE(this.#ffi.getRawPointer(buffer), 0);
    this.#vector.writeBigUInt64LE(BigInt(buffer.byteLength), LENGTH_AT);
    return Math.max(
      0,
      Number(this.#libc.preadv2(fd, this.#vector, 1, BigInt(position), RWF_NOWAIT)),
    );
  }

  /**
   * Sends as many bytes as the socket takes at once and the page cache has. Resolves with their
   * number, after the turns of the bodies that came before. Never rejects. The socket's own queue
   * must be empty until then.
   */
  send(socket: Socket, range: FileRange): Promise<number> {
    return this.#run(socket, (stopAt) => this.#sendNow(socket, range, stopAt));
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
  relay(relay: Relay): Promise<number> {
    return this.#run(relay.to, (stopAt) => relayNow(relay, stopAt));
  }

  /** The body that was sent to this client is over. */
  release(socket: Socket): void {
    this.#wideClients.release(socket);
  }

  async #run(client: Socket, work: SendWork): Promise<number> {
    const bytes = await this.#turns.run(work);
    this.#wideClients.sent(client, bytes);
    return bytes;
  }

  #sendNow(socket: Socket, { file, start, end }: FileRange, stopAt: number): number {
    let position = start;
    while (position < end) {
      const wanted = Math.min(end - position, SEND_SLICE_BYTES);
      const descriptor = descriptorOf(socket);
      if (descriptor === undefined || !this.#isCached(file, position, position + wanted)) break;
      this.#offset.writeBigInt64LE(BigInt(position));
      const sent = Number(this.#libc.sendfile(descriptor, file.fd, this.#offset, BigInt(wanted)));
      if (sent > 0) position += sent;
      // The client takes no more. Where something is wrong, the next write by Node tells what.
      if (sent < wanted || performance.now() > stopAt) break;
    }
    return position - start;
  }

  /** Without this look, sendfile waits for the disk, and with it everything in this process. */
  #isCached(file: FileHandle, start: number, end: number): boolean {
    for (let at = start; at < end; at += PROBE_BYTES) {
      if (this.readCached(file, this.#probe, at) === 0) return false;
    }
    return this.readCached(file, this.#probe, end - 1) > 0;
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

function open(): ZeroCopy | undefined {
  const ffi = process.getBuiltinModule('node:ffi') as typeof Ffi | undefined;
  return ffi === undefined ? undefined : new ZeroCopy(ffi);
}

let opened: { readonly zeroCopy: ZeroCopy | undefined } | undefined;

/** One for the whole process. Undefined where this Node has no way to call libc. */
export function zeroCopy(): ZeroCopy | undefined {
  opened ??= { zeroCopy: open() };
  return opened.zeroCopy;
}
