import { isIPv6 } from 'node:net';
import { hostPrefixOf, ownIps } from './address.ts';
import { OWN_NETWORKS_MS } from './constants.ts';

let ownPrefixes: ReadonlySet<string> = new Set();
let readAt = Number.NEGATIVE_INFINITY;

/**
 * The key under which another host is counted where each host gets a share: its IPv4 address, or
 * its IPv6 network of 64 bits, in which a host can choose any address. In an IPv6 network of this
 * host each address counts for itself: otherwise all neighbours would have the share of one host.
 */
export function quotaKey(ip: string): string {
  if (!isIPv6(ip)) return ip;
  const prefix = hostPrefixOf(ip);
  return currentOwnPrefixes().has(prefix) ? ip : prefix;
}

function currentOwnPrefixes(): ReadonlySet<string> {
  const now = performance.now();
  if (now - readAt >= OWN_NETWORKS_MS) {
    ownPrefixes = new Set([...ownIps()].filter((ip) => isIPv6(ip)).map(hostPrefixOf));
    readAt = now;
  }
  return ownPrefixes;
}
