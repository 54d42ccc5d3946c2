import type * as Ffi from 'node:ffi';
import type { Server, Socket } from 'node:net';

// Linux, the same on every architecture that Node runs on.
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const IPPROTO_TCP = 6;
const TCP_NOTSENT_LOWAT = 25;

const LIBC = {
  setsockopt: { return: 'i32', arguments: ['i32', 'i32', 'i32', 'buffer', 'u32'] },
} as const;

/**
 * Bounds what the kernel takes of an answer before the client reads it: up to 4 MB for each
 * connection otherwise (`tcp_wmem`), all of it memory of this service. Bytes that are on their way
 * do not count, so that a long link is as fast as before. A connection has the options of its
 * listener, so one call is enough. False where this Node cannot do that.
 */
export function limitUnsentBytes(listener: Server): boolean {
  return setOption(listener, IPPROTO_TCP, TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES);
}

/**
 * Bounds what the kernel takes from a peer before we read it: 5 MB were seen where the client does
 * not read. A single transfer over a long link needs them: this is for one of many. `socket` is
 * connected. False where this Node cannot do that.
 */
export function limitUnreadBytes(socket: Socket): boolean {
  return setOption(socket, SOL_SOCKET, SO_RCVBUF, MAX_UNREAD_BYTES);
}

/** Node has no public way to these options, nor to the descriptor: test/http/kernel-buffers.test.ts. */
function setOption(one: Server | Socket, level: number, name: number, value: number): boolean {
  const { _handle: handle } = one as { _handle?: { fd?: unknown } | null };
  const set = libc();
  if (set === undefined || typeof handle?.fd !== 'number' || handle.fd < 0) return false;
  const int = Buffer.from(Int32Array.of(value).buffer);
  return set(handle.fd, level, name, int, int.byteLength) === 0;
}

function open() {
  const ffi = process.getBuiltinModule('node:ffi') as typeof Ffi | undefined;
  return ffi?.dlopen(null, LIBC).functions.setsockopt;
}

let opened: { readonly set: ReturnType<typeof open> } | undefined;

function libc(): ReturnType<typeof open> {
  opened ??= { set: open() };
  return opened.set;
}

/** As much as one piece of a file. */
const MAX_UNSENT_BYTES = 256 * 1024;

/** The kernel takes twice that, and no more than `rmem_max` allows, which is as much by default. */
const MAX_UNREAD_BYTES = 208 * 1024;
