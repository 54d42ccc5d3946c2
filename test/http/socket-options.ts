/** What the kernel says of a socket of ours. */
import assert from 'node:assert/strict';
import type * as Ffi from 'node:ffi';
import type { Socket } from 'node:net';

const SOL_SOCKET = 1;
export const SO_RCVBUF = 8;
export const SO_RCVLOWAT = 18;

/** An option of socket(7) of an open socket, whose value is a number. */
export function socketOption(socket: Socket, name: number): number {
  const ffi = process.getBuiltinModule('node:ffi') as typeof Ffi;
  const { getsockopt } = ffi.dlopen(null, {
    getsockopt: { return: 'i32', arguments: ['i32', 'i32', 'i32', 'buffer', 'buffer'] },
  } as const).functions;
  const [value, length] = [Buffer.alloc(4), Buffer.from(Uint32Array.of(4).buffer)];
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
  assert.equal(getsockopt(fd, SOL_SOCKET, name, value, length), 0);
  return value.readInt32LE();
}
