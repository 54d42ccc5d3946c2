import { isIPv6 } from 'node:net';
import { hostPrefixOf, ownIps } from './address.ts';

/** An interface that comes later counts soon. */
const LOOK_MS = 10_000;

let own: ReadonlySet<string> = new Set();
let lookedAt = Number.NEGATIVE_INFINITY;

/**
 * By what another host is counted where each has its share: its address, of IPv6 the first 64 bits,
 * for a host has all addresses behind them to choose from. In a network of this host each address
 * counts for itself: all its neighbours are in one, and would share what is meant for one host.
 */
export function quotaKey(ip: string): string {
  if (!isIPv6(ip)) return ip;
  const network = hostPrefixOf(ip);
  return ownNetworks().has(network) ? ip : network;
}

function ownNetworks(): ReadonlySet<string> {
  const now = performance.now();
  if (now - lookedAt >= LOOK_MS) {
    own = new Set([...ownIps()].filter((ip) => isIPv6(ip)).map(hostPrefixOf));
    lookedAt = now;
  }
  return own;
}
