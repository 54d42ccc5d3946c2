import { CODE_P2P, type Component, type Multiaddr, multiaddr } from '@multiformats/multiaddr';
import { base58btc } from 'multiformats/bases/base58';
import {
  canonicalIp,
  formatHostPort,
  type HostPort,
  isLoopback,
  isNowhere,
} from '../base/address.ts';

/** A peer as messages hold it: id and addresses in binary. */
export interface WirePeer {
  /** Peer id as multihash. */
  readonly id: Uint8Array;
  readonly addresses: readonly Uint8Array[];
}

/** The id of an Ed25519 key is the identity multihash of the key in protobuf. */
const ED25519_PREFIX = Buffer.from([0x00, 0x24, 0x08, 0x01, 0x12, 0x20]);
const ED25519_LENGTH = 38;
/** Every other id is the sha2-256 of the key in protobuf. */
const SHA256_PREFIX = Buffer.from([0x12, 0x20]);
const SHA256_LENGTH = 34;

/**
 * The text of a peer id (libp2p spec, peer-ids, "String representation") given as multihash;
 * undefined for other bytes. The key is not unpacked, because most ids of an answer are only
 * compared.
 */
export function peerIdText(id: Uint8Array): string | undefined {
  const isEd25519 = id.length === ED25519_LENGTH && ED25519_PREFIX.equals(id.subarray(0, 6));
  const isSha256 = id.length === SHA256_LENGTH && SHA256_PREFIX.equals(id.subarray(0, 2));
  return isEd25519 || isSha256 ? base58btc.baseEncode(id) : undefined;
}

/** A multiaddr from any source, without its `/p2p`; undefined when it cannot be parsed. */
export function parseAddress(address: Uint8Array | string): Multiaddr | undefined {
  try {
    return multiaddr(address).decapsulateCode(CODE_P2P);
  } catch {
    return undefined;
  }
}

/** The IP address at the start of a multiaddr, canonical; empty when it starts with a name. */
export function ipOf(address: Multiaddr): string {
  const [where] = address.getComponents();
  return isIpComponent(where) ? canonicalIp(where?.value ?? '') : '';
}

/** The IP and TCP port at the start of a multiaddr, and the components that follow. */
export interface TcpAddress extends HostPort {
  readonly rest: readonly Component[];
}

/**
 * Undefined for a multiaddr that does not start with an IP and a TCP port. A DNS name is refused: a
 * peer must not make this host ask the DNS.
 */
export function tcpAddressOf(address: Multiaddr | undefined): TcpAddress | undefined {
  const [where, tcp, ...rest] = address?.getComponents() ?? [];
  if (!isIpComponent(where) || where?.value === undefined || tcp?.name !== 'tcp') return undefined;
  return { host: canonicalIp(where.value), port: Number(tcp.value), rest };
}

/** The IP and TCP port where a router listens; undefined for an address with anything more. */
export function routerTcpAddress(bytes: Uint8Array): HostPort | undefined {
  const address = tcpAddressOf(parseAddress(bytes));
  return address?.rest.length === 0 ? { host: address.host, port: address.port } : undefined;
}

/** As `routerTcpAddress`, as text of a multiaddr. */
export function routerAddress(bytes: Uint8Array): string | undefined {
  const address = parseAddress(bytes);
  return tcpAddressOf(address)?.rest.length === 0 ? address?.toString() : undefined;
}

/** As `routerTcpAddress`, as `host:port`. */
export function routerHostPort(bytes: Uint8Array): string | undefined {
  const address = routerTcpAddress(bytes);
  return address && formatHostPort(address.host, address.port);
}

/**
 * Whether an IP that a peer named may be dialled or asked. Refuses addresses that mean another host
 * on each host, and loopback unless this node announces loopback itself.
 */
export function isDialableIp(ip: string, isLoopbackAllowed: boolean): boolean {
  if (isNowhere(ip)) return false;
  return isLoopbackAllowed || !isLoopback(ip);
}

/** The different addresses of several lists, up to `max`. */
export function unionAddresses(
  lists: Iterable<readonly Uint8Array[]>,
  max: number,
): readonly Uint8Array[] {
  const union: Uint8Array[] = [];
  for (const list of lists) {
    for (const address of list) {
      if (union.length === max) return union;
      if (!union.some((known) => Buffer.compare(known, address) === 0)) union.push(address);
    }
  }
  return union;
}

function isIpComponent(component: Component | undefined): boolean {
  return component?.name === 'ip4' || component?.name === 'ip6';
}
