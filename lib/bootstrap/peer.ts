import { isIP } from 'node:net';
import { peerIdFromString } from '@libp2p/peer-id';
import { type Component, multiaddr } from '@multiformats/multiaddr';
import {
  canonicalIp,
  isDnsName,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isUnspecified,
  parseHostPort,
} from '../base/address.ts';
import { SpegelError } from '../base/errors.ts';
import { printable } from '../base/printable.ts';
import { MAX_ENTRY_LENGTH } from './constants.ts';

/** One bootstrap entry: where a peer listens and, if the entry names it, its peer id. */
export interface BootstrapPeer {
  /** IPv4, IPv6 without brackets, or a DNS name. */
  readonly host: string;
  readonly port: number;
  /** The family of a DNS name's addresses; undefined for both. */
  readonly family: 4 | 6 | undefined;
  /** libp2p peer id as text. Only a hint: the id that the handshake proves counts. */
  readonly peerId: string | undefined;
}

/** The port of an entry without one: the default of `--router-addr`, ours and Go Spegel's. */
const DEFAULT_ROUTER_PORT = 5001;

/**
 * Parses an entry of `--static-bootstrap-peers`: a multiaddr
 * `/ip4|ip6|dns|dns4|dns6/…/tcp/…[/p2p/<id>]`, or `host[:port]` with an IPv4 address, an IPv6
 * address in brackets or a DNS name. Throws SpegelError ERR_OPTION_VALUE.
 */
export function parseBootstrapPeer(text: string): BootstrapPeer {
  const entry = text.trim();
  // An id of 64 KiB would take 17 s to read.
  const isShort = entry.length <= MAX_ENTRY_LENGTH;
  const parse = entry.startsWith('/') ? fromMultiaddr : fromHostPort;
  const peer = isShort ? parse(entry) : undefined;
  if (peer !== undefined) return peer;
  throw new SpegelError(
    'ERR_OPTION_VALUE',
    `expected a multiaddr such as /ip4/10.0.0.1/tcp/5001[/p2p/<id>], or host:port with an IPv4 address, an IPv6 address in brackets or a DNS name, got ${JSON.stringify(isShort ? text : printable(text))}`,
  );
}

/** Parses a multiaddr of an IP address and a TCP port; undefined for any other text. */
export function parseIpMultiaddr(text: string): BootstrapPeer | undefined {
  if (!text.startsWith('/ip')) return undefined;
  try {
    const peer = parseBootstrapPeer(text);
    return isIP(peer.host) === 0 ? undefined : peer;
  } catch {
    return undefined;
  }
}

/**
 * The IP at which to dial a peer that names `told` and whose message came from `met`. If `told`
 * means another host here than at the peer, such as loopback, it is `met`. Undefined if neither can
 * be dialled.
 */
export function ipToDial(told: string, met: string): string | undefined {
  const ip = canonicalIp(told);
  if (isMulticast(ip)) return undefined;
  const isLocal = isLoopback(ip) || isUnspecified(ip) || isLinkLocal(ip);
  if (!isLocal || (isLoopback(ip) && isLoopback(met))) return ip;
  return isUnspecified(met) || isLinkLocal(met) || isIP(met) === 0 ? undefined : met;
}

function fromHostPort(text: string): BootstrapPeer | undefined {
  const parsed = parseHostPort(text, DEFAULT_ROUTER_PORT);
  return parsed === undefined ? undefined : { ...parsed, family: undefined, peerId: undefined };
}

function fromMultiaddr(text: string): BootstrapPeer | undefined {
  // The library's base58 accepts characters beyond Latin-1 as digits.
  if (!/^[\x21-\x7e]*$/.test(text)) return undefined;
  let components: Component[];
  try {
    components = multiaddr(text).getComponents();
    const id = components.find(({ name }) => name === 'p2p')?.value;
    if (id !== undefined) peerIdFromString(id);
  } catch {
    return undefined;
  }
  const [where, tcp, p2p, ...rest] = components;
  if (where?.value === undefined || tcp?.name !== 'tcp' || rest.length > 0) return undefined;
  if (p2p !== undefined && p2p.name !== 'p2p') return undefined;
  const port = Number(tcp.value);
  if (!(port > 0)) return undefined;
  const peerId = p2p?.value;
  switch (where.name) {
    case 'ip4':
    case 'ip6':
      return { host: canonicalIp(where.value), port, family: undefined, peerId };
    case 'dns':
    case 'dns4':
    case 'dns6':
      if (!isDnsName(where.value)) return undefined;
      return { host: where.value, port, family: DNS_FAMILY[where.name], peerId };
    default:
      return undefined;
  }
}

const DNS_FAMILY = { dns: undefined, dns4: 4, dns6: 6 } as const;
