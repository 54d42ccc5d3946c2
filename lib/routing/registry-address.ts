import { canonicalIp, formatHostPort, isLoopback, isNowhere } from '../base/address.ts';
import { DEFAULT_REGISTRY_PORT } from './constants.ts';
import { parseAddress } from './wire-peer.ts';

export interface RegistryAddressSettings {
  /** Port of our own registry: what Go Spegel assumes of every peer. */
  readonly registryPort: number;
  /** Whether we announce loopback ourselves: only then is a peer's loopback this same machine's. */
  readonly isLoopbackAllowed: boolean;
}

/** A host has one address per family; more are bridges or lies, and each costs a try. */
const MAX_CANDIDATE_ADDRESSES = 4;

/**
 * Where a peer's registry listens, `host:port`, best first. A `/http` multiaddr says so; else one of ours is on
 * 5000, and Go Spegel's on the port of our own, as it assumes itself. `ours` is undefined for a peer that we
 * have not met: both ports are named then. Only IP addresses: a peer must not make us ask the DNS.
 */
export function registryAddresses(
  addresses: readonly Uint8Array[],
  ours: boolean | undefined,
  settings: RegistryAddressSettings,
): string[] {
  const said: string[] = [];
  const ips: string[] = [];
  for (const bytes of addresses) {
    const [where, tcp, http] = parseAddress(bytes)?.getComponents() ?? [];
    if (where?.value === undefined || (where.name !== 'ip4' && where.name !== 'ip6')) continue;
    const ip = canonicalIp(where.value);
    if (!isDialableIp(ip, settings.isLoopbackAllowed)) continue;
    const port = Number(tcp?.value);
    if (tcp?.name === 'tcp' && http?.name === 'http' && port > 0)
      said.push(formatHostPort(ip, port));
    else ips.push(ip);
  }
  const found = said.length > 0 ? said : assumed(ips, ours, settings.registryPort);
  return [...new Set(found)].slice(0, MAX_CANDIDATE_ADDRESSES);
}

function assumed(ips: readonly string[], ours: boolean | undefined, own: number): string[] {
  const ports =
    ours === undefined ? [own, DEFAULT_REGISTRY_PORT] : [ours ? DEFAULT_REGISTRY_PORT : own];
  return ports.flatMap((port) => ips.map((ip) => formatHostPort(ip, port)));
}

/** What means another host, or this one, depending on who asks is no address to send a request to. */
export function isDialableIp(ip: string, loopback: boolean): boolean {
  if (isNowhere(ip)) return false;
  return loopback || !isLoopback(ip);
}
