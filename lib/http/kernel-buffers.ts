import type { Server, Socket } from 'node:net';
import { withFfi } from '../base/with-ffi.ts';
import { MAX_UNREAD_BYTES, MAX_UNSENT_BYTES } from './constants.ts';
import { descriptorOf } from './descriptor.ts';

// Linux, the same on every architecture that Node runs on.
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVLOWAT = 18;
const SO_MEMINFO = 55;
const IPPROTO_TCP = 6;
const TCP_NOTSENT_LOWAT = 25;

const LIBC = {
  setsockopt: { return: 'i32', arguments: ['i32', 'i32', 'i32', 'buffer', 'u32'] },
  getsockopt: { return: 'i32', arguments: ['i32', 'i32', 'i32', 'buffer', 'buffer'] },
} as const;

// `SK_MEMINFO_VARS` numbers of 32 bits, and the place of SK_MEMINFO_WMEM_QUEUED.
const MEMORY_BYTES = 9 * 4;
const UNSENT_AT = 5 * 4;

const libc = withFfi((ffi) => ffi.dlopen(null, LIBC).functions);

/**
 * Limits what the kernel takes of an answer before the client reads it. Without it that is up to 4
 * MB for each connection (`tcp_wmem`), which count as memory of this service. Bytes on their way do
 * not count, so a long link stays as fast. Connections inherit the option of their listener, so one
 * call is enough. False where this Node cannot set it.
 */
export function limitUnsentBytes(listener: Server): boolean {
  return setOption(listener, IPPROTO_TCP, TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES);
}

/**
 * Sets that limit anew for one connection, to `bytes`. False where this Node cannot set it.
 */
export function setUnsentBytes(socket: Socket, bytes: number): boolean {
  return setOption(socket, IPPROTO_TCP, TCP_NOTSENT_LOWAT, bytes);
}

/**
 * Limits what the kernel takes from a peer before we read it: it took 5 MB where the client did not
 * read. A single transfer over a long link needs them, so this is for one of many transfers.
 * `socket` is connected. False where this Node cannot set it.
 */
export function limitUnreadBytes(socket: Socket): boolean {
  return setOption(socket, SOL_SOCKET, SO_RCVBUF, MAX_UNREAD_BYTES);
}

/**
 * From now on the socket counts as readable when so many bytes are there, at its end, at a failure,
 * and when the kernel would take no more. The kernel makes room for them in the receive buffer; of
 * one that was limited, it waits for half at most. False where this Node cannot set it.
 */
export function setReadableBytes(socket: Socket, bytes: number): boolean {
  return setOption(socket, SOL_SOCKET, SO_RCVLOWAT, bytes);
}

/**
 * The memory, in bytes, of what the other side of a connection has not acknowledged. 0 where the
 * socket is closed, or this Node or kernel cannot tell.
 */
export function unsentMemory(socket: Socket): number {
  const descriptor = descriptorOf(socket);
  const functions = libc();
  if (functions === undefined || descriptor === undefined) return 0;
  const memory = Buffer.alloc(MEMORY_BYTES);
  const length = Buffer.from(Uint32Array.of(MEMORY_BYTES).buffer);
  functions.getsockopt(descriptor, SOL_SOCKET, SO_MEMINFO, memory, length);
  return memory.readUInt32LE(UNSENT_AT);
}

function setOption(one: Server | Socket, level: number, name: number, value: number): boolean {
  const descriptor = descriptorOf(one);
  const functions = libc();
  if (functions === undefined || descriptor === undefined) return false;
  const int = Buffer.from(Int32Array.of(value).buffer);
  return functions.setsockopt(descriptor, level, name, int, int.byteLength) === 0;
}
