import { CODE_P2P, type Component, type Multiaddr, multiaddr } from '@multiformats/multiaddr';
import { base58btc } from 'multiformats/bases/base58';
import { canonicalIp, formatHostPort } from '../base/address.ts';

/** A peer as it travels: both fields binary. */
export interface WirePeer {
  /** Peer id as multihash. */
  readonly id: Uint8Array;
  readonly addresses: readonly Uint8Array[];
}

/** An Ed25519 id is the identity multihash of the protobuf-wrapped key; every other id is a sha2-256 of it. */
const ED25519_PREFIX = Buffer.from([0x00, 0x24, 0x08, 0x01, 0x12, 0x20]);
const ED25519_LENGTH = 38;
const SHA256_PREFIX = Buffer.from([0x12, 0x20]);
const SHA256_LENGTH = 34;

/**
 * A peer id's text (libp2p spec, peer-ids, "String representation") from its multihash, or undefined for what
 * is no peer id. No key is unpacked: answers are full of ids that are only compared.
 */
export function peerIdText(id: Uint8Array): string | undefined {
  const ed25519 = id.length === ED25519_LENGTH && ED25519_PREFIX.equals(id.subarray(0, 6));
  const sha256 = id.length === SHA256_LENGTH && SHA256_PREFIX.equals(id.subarray(0, 2));
  return ed25519 || sha256 ? base58btc.baseEncode(id) : undefined;
}

/** A multiaddr that a stranger sent, without its `/p2p`; undefined for bytes that are none. */
export function parseAddress(bytes: Uint8Array): Multiaddr | undefined {
  try {
    return multiaddr(bytes).decapsulateCode(CODE_P2P);
  } catch {
    return undefined;
  }
}

/** As `parseAddress`, for one where a router listens: an IP and a TCP port, nothing more. */
export function routerAddress(bytes: Uint8Array): string | undefined {
  const address = parseAddress(bytes);
  return address && behindTcp(address)?.length === 0 ? address.toString() : undefined;
}

/**
 * What stands behind an IP and a TCP port; undefined where the address does not begin with them. A
 * name is none: a peer must not make us ask the DNS.
 */
export function behindTcp(address: Multiaddr): readonly Component[] | undefined {
  const [where, tcp, ...more] = address.getComponents();
  const isIp = where?.name === 'ip4' || where?.name === 'ip6';
  return isIp && tcp?.name === 'tcp' ? more : undefined;
}

/** As `routerAddress`, as `host:port`; undefined for what is no IP and TCP port. */
export function routerHostPort(bytes: Uint8Array): string | undefined {
  const [where, tcp, ...more] = parseAddress(bytes)?.getComponents() ?? [];
  const isPlain = (where?.name === 'ip4' || where?.name === 'ip6') && tcp?.name === 'tcp';
  if (!isPlain || where.value === undefined || more.length > 0) return undefined;
  return formatHostPort(canonicalIp(where.value), Number(tcp.value));
}

/** Adds addresses that are not there yet, up to `max`. */
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
