import { isIP, isIPv4, isIPv6, SocketAddress } from 'node:net';
import { networkInterfaces } from 'node:os';

export interface HostPort {
  /** IPv4, IPv6 without brackets, or a DNS name. */
  readonly host: string;
  readonly port: number;
}

/**
 * An address to listen on, as Go writes it: `:5000` (all interfaces, both families),
 * `127.0.0.1:5000`, `[::1]:5000`.
 */
export interface ListenAddress {
  /** A canonical IP address or a DNS name; empty for all interfaces, IPv6 and IPv4. */
  readonly host: string;
  readonly port: number;
}

const MAX_PORT = 65_535;

/**
 * RFC 1123 host names, underscores tolerated since resolvers do; 253 bytes as in RFC 1035, 2.3.4.
 */
const DNS_NAME =
  /^(?=.{1,253}$)[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62}(?:\.[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62})*\.?$/;
const V4_MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/;

/**
 * True for a name that DNS can resolve; false for an IP address, and for `1.2.3.400`, which is a
 * mistyped one.
 */
export function isDnsName(text: string): boolean {
  return isIP(text) === 0 && DNS_NAME.test(text) && !/^[\d.]+$/.test(text);
}

/**
 * Parses `host:port`, with IPv6 in brackets. Where the port is missing it is `defaultPort`, and
 * IPv6 needs no brackets. Undefined for anything else, and for a missing port without a default.
 *
 * Two forms have a grammar of their own. An address to listen on may have no host, or port 0
 * (cmd/options/values.ts). A URL in a hosts.toml is what Go takes for one (hosts/toml/host-url.ts).
 */
export function parseHostPort(text: string, defaultPort?: number): HostPort | undefined {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text);
  if (bracketed !== null) {
    const [, host = '', port] = bracketed;
    return isIPv6(host) ? hostPort(host, port, defaultPort) : undefined;
  }
  if (isIPv6(text)) return hostPort(text, undefined, defaultPort);
  const plain = /^([^:]+)(?::(\d{1,5}))?$/.exec(text);
  if (plain === null) return undefined;
  const [, host = '', port] = plain;
  return isIPv4(host) || isDnsName(host) ? hostPort(host, port, defaultPort) : undefined;
}

function hostPort(host: string, text: string | undefined, fallback?: number): HostPort | undefined {
  const port = text === undefined ? fallback : Number(text);
  if (port === undefined || port < 1 || port > MAX_PORT) return undefined;
  return { host: isIP(host) === 0 ? host : canonicalIp(host), port };
}

/** `host:port`, IPv6 in brackets. */
export function formatHostPort(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * The one spelling of an address, so that addresses can be compared as text: IPv6 compressed and in
 * lower case, without a zone, an IPv4-mapped IPv6 address as IPv4. Returns other text unchanged.
 */
export function canonicalIp(text: string): string {
  const zone = text.indexOf('%');
  const ip = zone === -1 ? text : text.slice(0, zone);
  if (!isIPv6(ip)) return ip;
  // As the kernel writes it: a request by IPv4 at a socket of both families has such an address.
  const mapped = V4_MAPPED.exec(ip)?.[1];
  if (mapped !== undefined) return mapped;
  const { address } = new SocketAddress({ address: ip, family: 'ipv6' });
  return V4_MAPPED.exec(address)?.[1] ?? address;
}

/** The port of an http or https URL, which need not be written in it. */
export function portOf({ protocol, port }: URL): number {
  return port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
}

/** The eight groups of a canonical IPv6 address. */
export function ipv6Groups(ip: string): readonly number[] {
  const [head = '', tail = ''] = ip.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':').flatMap(groupsOf));
  const [first, last] = [groups(head), groups(tail)];
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => 0);
  return [...first, ...zeros, ...last];
}

/** One group; two where the end of an address is written as IPv4, as in `::192.0.2.1`. */
function groupsOf(text: string): readonly number[] {
  if (!isIPv4(text)) return [Number.parseInt(text, 16)];
  const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number);
  return [(a << 8) | b, (c << 8) | d];
}

/** True for 127.0.0.0/8 and ::1. The argument is canonical, here and below. */
export function isLoopback(ip: string): boolean {
  return ip === '::1' || (isIPv4(ip) && ip.startsWith('127.'));
}

/** True for 169.254.0.0/16 and fe80::/10, which mean another host on each link. */
export function isLinkLocal(ip: string): boolean {
  return isIPv4(ip) ? ip.startsWith('169.254.') : /^fe[89ab]/.test(ip);
}

/** True for 0.0.0.0/8 and ::, which Linux connects to itself. */
export function isUnspecified(ip: string): boolean {
  return ip === '::' || (isIPv4(ip) && ip.startsWith('0.'));
}

/** True for multicast and broadcast: no host answers TCP there. */
export function isMulticast(ip: string): boolean {
  return isIPv4(ip) ? Number(ip.slice(0, ip.indexOf('.'))) >= 224 : ip.startsWith('ff');
}

/**
 * AWS' and Alibaba's addresses that answer with a host's secrets, beside the link-local
 * 169.254.169.254.
 */
const METADATA: ReadonlySet<string> = new Set(['fd00:ec2::254', '100.100.100.200']);

/**
 * True for an address that another host must not make this one connect to: it means something else
 * on each host, many hosts at once, or a cloud's metadata. Of a NAT64 address (RFC 6052,
 * 64:ff9b::/96), the IPv4 address in it counts.
 */
export function isNowhere(ip: string): boolean {
  const hidden = nat64Target(ip);
  if (hidden !== undefined) return isLoopback(hidden) || isNowhere(hidden);
  return isUnspecified(ip) || isLinkLocal(ip) || isMulticast(ip) || METADATA.has(ip);
}

function nat64Target(ip: string): string | undefined {
  if (!ip.startsWith('64:ff9b::')) return undefined;
  const [high = 0, low = 0] = ipv6Groups(ip).slice(-2);
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
}

/**
 * The addresses that one host may have: an IPv4 address itself; of an IPv6 address its network of
 * 64 bits, in which a host can choose any.
 */
export function hostPrefixOf(ip: string): string {
  if (!isIPv6(ip)) return ip;
  const groups = ipv6Groups(ip).slice(0, 4);
  return `${groups.map((group) => group.toString(16)).join(':')}::/64`;
}

/** The addresses of this host's interfaces, canonical, loopback among them. Tests give `list`. */
export function ownIps(list: typeof networkInterfaces = networkInterfaces): Set<string> {
  const infos = Object.values(list()).flatMap((all) => all ?? []);
  return new Set(infos.map(({ address }) => canonicalIp(address)));
}
