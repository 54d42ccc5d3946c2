import type { Socket } from 'node:net';
import { withFfi } from '../base/with-ffi.ts';
import { descriptorOf } from './descriptor.ts';

// Linux, the same on every architecture that Node runs on: recv(2).
const MSG_PEEK = 2;
const MSG_DONTWAIT = 0x40;

const LIBC = {
  recv: { return: 'i64', arguments: ['i32', 'buffer', 'u64', 'i32'] },
} as const;

const libc = withFfi((ffi) => ffi.dlopen(null, LIBC).functions.recv);

const probe = Buffer.alloc(1);

/**
 * Whether the other side has sent nothing that is unread, and has not ended the connection. True
 * where this Node has no way to ask the kernel.
 */
export function isQuiet(socket: Socket): boolean {
  const descriptor = descriptorOf(socket);
  if (descriptor === undefined) return false;
  const receive = libc();
  if (receive === undefined) return true;
  return Number(receive(descriptor, probe, 1n, MSG_PEEK | MSG_DONTWAIT)) < 0;
}
