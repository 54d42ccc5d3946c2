import type { Socket } from 'node:net';
import { withFfi } from '../base/with-ffi.ts';
import { descriptorOf } from './descriptor.ts';

// Linux, the same on every architecture that Node runs on: `struct tcp_info`, tcpi_bytes_acked.
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const ACKNOWLEDGED_AT = 120;
const INFO_BYTES = ACKNOWLEDGED_AT + 8;

const LIBC = {
  getsockopt: { return: 'i32', arguments: ['i32', 'i32', 'i32', 'buffer', 'buffer'] },
} as const;

const libc = withFfi((ffi) => ffi.dlopen(null, LIBC).functions.getsockopt);

/**
 * How many bytes the other side of a TCP connection has acknowledged since it began. Undefined
 * where the socket is closed, or this Node or kernel cannot tell.
 */
export function acknowledgedBytes(socket: Socket): bigint | undefined {
  const descriptor = descriptorOf(socket);
  const get = libc();
  if (get === undefined || descriptor === undefined) return undefined;
  const info = Buffer.alloc(INFO_BYTES);
  const length = Uint32Array.of(INFO_BYTES);
  const isKnown = get(descriptor, IPPROTO_TCP, TCP_INFO, info, Buffer.from(length.buffer)) === 0;
  // Kernels before 4.1 give less.
  return isKnown && length[0] === INFO_BYTES ? info.readBigUInt64LE(ACKNOWLEDGED_AT) : undefined;
}
