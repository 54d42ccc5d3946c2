import type * as Ffi from 'node:ffi';
import { endianness } from 'node:os';

// Linux, the same on every architecture that Node runs on.
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
/**
 * Neither waits for a manager that does not read, nor dies with one that has gone: this is the main
 * thread.
 */
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** The kernel's `sun_path`, without room for the NUL at the end of a path. */
const MAX_PATH_BYTES = 107;

const LIBC = {
  socket: { return: 'i32', arguments: ['i32', 'i32', 'i32'] },
  sendto: { return: 'i64', arguments: ['i32', 'buffer', 'u64', 'i32', 'buffer', 'u32'] },
  close: { return: 'i32', arguments: ['i32'] },
} as const;

/** Sends one message. Returns false when the kernel did not take it. */
export type Send = (message: string) => boolean;

/**
 * Opens the unix socket that systemd names in NOTIFY_SOCKET, for datagrams. Node has no such
 * sockets, libc has. It has to be this process: systemd takes messages from the main process of a
 * service alone, unless the unit trusts all of its processes. Throws with the reason when this Node
 * cannot call libc, or the name is not that of a socket that can be reached so.
 */
export function openNotifySocket(name: string): Send {
  const address = socketAddress(name);
  const ffi = process.getBuiltinModule('node:ffi') as typeof Ffi | undefined;
  if (ffi === undefined) throw new Error('this Node has no node:ffi');
  // Null names this process, which has libc loaded.
  const { socket, sendto, close } = ffi.dlopen(null, LIBC).functions;
  return (message) => {
    const bytes = Buffer.from(message);
    const descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return false;
    const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const sent = sendto(descriptor, bytes, BigInt(bytes.length), flags, address, address.length);
    close(descriptor);
    return Number(sent) === bytes.length;
  };
}

/**
 * `struct sockaddr_un`: the family in the machine's byte order, then the path, or NUL and an
 * abstract name.
 */
function socketAddress(name: string): Buffer {
  if (!/^[/@]./s.test(name)) {
    throw new Error(`expected a path or @name of a unix socket, got ${JSON.stringify(name)}`);
  }
  const path = Buffer.from(name);
  if (path.length > MAX_PATH_BYTES)
    throw new Error(`${name} is longer than ${MAX_PATH_BYTES} bytes`);
  const isAbstract = name.startsWith('@');
  if (isAbstract) path[0] = 0;
  const family = Buffer.alloc(2);
  if (endianness() === 'LE') family.writeUInt16LE(AF_UNIX);
  else family.writeUInt16BE(AF_UNIX);
  // An abstract name ends with the address, a path with its NUL.
  return Buffer.concat([family, path, Buffer.alloc(isAbstract ? 0 : 1)]);
}
