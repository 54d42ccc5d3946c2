import { isIP, isIPv6 } from 'node:net';
import {
  canonicalIp,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isUnspecified,
} from '../base/address.ts';
import { type BootstrapPeer, parseBootstrapPeer } from './peer.ts';

/** `/ip4|ip6/<ip>/tcp/<port>[/p2p/<id>]`, the form that `Bootstrapper.addresses` gives. */
export function toMultiaddr(ip: string, port: number, peerId: string | undefined): string {
  const base = `/${isIPv6(ip) ? 'ip6' : 'ip4'}/${ip}/tcp/${port}`;
  return peerId === undefined ? base : `${base}/p2p/${peerId}`;
}

/** A multiaddr of an IP address and a TCP port, taken apart; undefined for every other text. */
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
 * The IP at which to dial a peer that says it has `told`, when it was met at `met`: an address that
 * means another host here than there stands for the one it was met at. Undefined when neither can
 * be dialled.
 */
export function ipToDial(told: string, met: string): string | undefined {
  const ip = canonicalIp(told);
  if (isMulticast(ip)) return undefined;
  const isLocal = isLoopback(ip) || isUnspecified(ip) || isLinkLocal(ip);
  if (!isLocal || (isLoopback(ip) && isLoopback(met))) return ip;
  return isUnspecified(met) || isLinkLocal(met) || isIP(met) === 0 ? undefined : met;
}
