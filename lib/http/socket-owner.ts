import type * as Ffi from 'node:ffi';
import { isIPv4, isIPv6, type Socket } from 'node:net';
import { endianness } from 'node:os';
import { canonicalIp, ipv6Groups } from '../base/address.ts';

// Linux, the same on every architecture that Node runs on: netlink(7), sock_diag(7).
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 1;
const MSG_DONTWAIT = 0x40;
const IPPROTO_TCP = 6;
const TCP_ESTABLISHED = 1;

// The request is `struct nlmsghdr` and `struct inet_diag_req_v2`. The offsets are those of the
// answer, `struct nlmsghdr` and `struct inet_diag_msg`.
const REQUEST_BYTES = 72;
const ANSWER_BYTES = 512;
const TYPE_AT = 4;
const STATE_AT = 17;
const UID_AT = 80;

const LIBC = {
  socket: { return: 'i32', arguments: ['i32', 'i32', 'i32'] },
  send: { return: 'i64', arguments: ['i32', 'buffer', 'u64', 'i32'] },
  recv: { return: 'i64', arguments: ['i32', 'buffer', 'u64', 'i32'] },
  close: { return: 'i32', arguments: ['i32'] },
} as const;

/** The user of the client's end of a connection; undefined: that end is not on this host. */
export type OwnerOf = (socket: Socket) => number | undefined;

/**
 * Opens the way to ask the kernel for the user of a client on this host. It takes 10 us for each
 * connection, where /proc/net/tcp would list all sockets of the host. Undefined when this Node or
 * this kernel has no such way.
 */
export function openSocketOwner(): OwnerOf | undefined {
  const ffi = process.getBuiltinModule('node:ffi') as typeof Ffi | undefined;
  if (ffi === undefined || endianness() !== 'LE') return undefined;
  const { socket, send, recv, close } = ffi.dlopen(null, LIBC).functions;
  const answer = Buffer.alloc(ANSWER_BYTES);
  const ask = (request: Buffer): number => {
    const descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (descriptor < 0) return -1;
    try {
      const sent = send(descriptor, request, BigInt(request.length), MSG_DONTWAIT);
      if (Number(sent) !== request.length) return -1;
      return Number(recv(descriptor, answer, BigInt(answer.length), MSG_DONTWAIT));
    } finally {
      close(descriptor);
    }
  };
  const ownerOf: OwnerOf = (one) => {
    const request = requestFor(one);
    if (request === undefined || ask(request) < UID_AT + 4) return undefined;
    // Of an end that is closing the kernel says 0, which would be root.
    const isThere = answer.readUInt16LE(TYPE_AT) === SOCK_DIAG_BY_FAMILY;
    return isThere && answer[STATE_AT] === TCP_ESTABLISHED
      ? answer.readUInt32LE(UID_AT)
      : undefined;
  };
  // A kernel without sock_diag refuses the socket, or the question for the family.
  return ask(diagRequest({ address: '127.0.0.1', port: 1 }, { address: '127.0.0.1', port: 1 })) > 0
    ? ownerOf
    : undefined;
}

interface End {
  /** Canonical. */
  readonly address: string;
  readonly port: number;
}

function requestFor(one: Socket): Buffer | undefined {
  const { remoteAddress, remotePort, localAddress, localPort } = one;
  // The client is gone already.
  if (remoteAddress === undefined || localAddress === undefined) return undefined;
  if (remotePort === undefined || localPort === undefined) return undefined;
  const client = { address: canonicalIp(remoteAddress), port: remotePort };
  return diagRequest(client, { address: canonicalIp(localAddress), port: localPort });
}

/** Asks for the one socket that is bound to `end` and connected to `other`. */
function diagRequest(end: End, other: End): Buffer {
  const request = Buffer.alloc(REQUEST_BYTES);
  request.writeUInt32LE(REQUEST_BYTES, 0);
  request.writeUInt16LE(SOCK_DIAG_BY_FAMILY, TYPE_AT);
  request.writeUInt16LE(NLM_F_REQUEST, 6);
  request[16] = isIPv4(end.address) ? AF_INET : AF_INET6;
  request[17] = IPPROTO_TCP;
  request.fill(0xff, 20, 24);
  request.writeUInt16BE(end.port, 24);
  request.writeUInt16BE(other.port, 26);
  request.set(bytesOf(end.address), 28);
  request.set(bytesOf(other.address), 44);
  // Any interface, and the cookie that stands for any socket.
  request.fill(0xff, 64, 72);
  return request;
}

/** In network order. */
function bytesOf(ip: string): readonly number[] {
  if (!isIPv6(ip)) return ip.split('.').map(Number);
  return ipv6Groups(ip).flatMap((group) => [group >> 8, group & 0xff]);
}
