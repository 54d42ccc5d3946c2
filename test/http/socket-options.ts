/** What the kernel says of a socket of ours. */
import assert from 'node:assert/strict';
import type * as Ffi from 'node:ffi';
import type { Socket } from 'node:net';

/** Level and name of an option, as in Linux's headers. */
export type SocketOption = readonly [level: number, name: number];

export const SO_RCVBUF: SocketOption = [1, 8];
export const SO_RCVLOWAT: SocketOption = [1, 18];
export const TCP_NOTSENT_LOWAT: SocketOption = [6, 25];

/** An option of an open socket, of socket(7) or tcp(7), whose value is a number. */
export function socketOption(socket: Socket, [level, name]: SocketOption): number {
  const ffi = process.getBuiltinModule('node:ffi') as typeof Ffi;
  const { getsockopt } = ffi.dlopen(null, {
    getsockopt: { return: 'i32', arguments: ['i32', 'i32', 'i32', 'buffer', 'buffer'] },
  } as const).functions;
  const [value, length] = [Buffer.alloc(4), Buffer.from(Uint32Array.of(4).buffer)];
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  assert.equal(getsockopt(fd, level, name, value, length), 0);
  return value.readInt32LE();
}
