import { formatHostPort } from '../../base/address.ts';
import { DEFAULT_REGISTRY_PORT, MAX_ADDRESSES_PER_PEER } from '../constants.ts';
import type { RoutingTable } from '../dht/routing-table.ts';
import type { Candidate } from '../router.ts';
import {
  ipOf,
  isDialableIp,
  parseAddress,
  peerIdText,
  unionAddresses,
  type WirePeer,
} from '../wire-peer.ts';
import { MAX_REGISTRY_ADDRESSES } from './constants.ts';

export interface RegistryAddressSettings {
  /** Port of our own registry: Go Spegel's peers are assumed to use the same, as Go Spegel does. */
  readonly registryPort: number;
  /** Whether this node announces loopback: only then is a peer's loopback on this machine. */
  readonly isLoopbackAllowed: boolean;
}

export interface CandidateContext extends RegistryAddressSettings {
  readonly table: RoutingTable;
  /** This node's peer id. */
  readonly self: string;
  /** Whether a peer was seen to be gone. */
  readonly isGone: (peerId: string) => boolean;
}

/**
 * The candidate for a provider; undefined for this node, for a peer that is gone and without a
 * dialable address. A peer of ours is asked only at the addresses that it named itself; any other
 * peer first at those that others name for it.
 */
export function candidateOf(
  { id, addresses }: WirePeer,
  { table, self, isGone, ...settings }: CandidateContext,
): Candidate | undefined {
  const peerId = peerIdText(id);
  if (peerId === undefined || peerId === self || isGone(peerId)) return undefined;
  const known = table.get(peerId);
  const all =
    known?.isOurs === true
      ? known.addresses
      : unionAddresses([addresses, known?.addresses ?? []], MAX_ADDRESSES_PER_PEER);
  const found = registryAddresses(all, known?.isOurs, settings);
  return found.length === 0 ? undefined : { peerId, addresses: found };
}

/**
 * Where a peer's registry listens, as `host:port`, best first. A `/http` multiaddr names it.
 * Without one, the registry of a peer of ours is on port 5000, and Go Spegel's on the port of our
 * own. With `isOurs` undefined, for a peer that is not in the table, both ports are returned.
 */
export function registryAddresses(
  addresses: readonly Uint8Array[],
  isOurs: boolean | undefined,
  settings: RegistryAddressSettings,
): string[] {
  const named: string[] = [];
  const ips: string[] = [];
  for (const bytes of addresses) {
    const address = parseAddress(bytes);
    const ip = address === undefined ? '' : ipOf(address);
    if (ip === '' || !isDialableIp(ip, settings.isLoopbackAllowed)) continue;
    const [, tcp, http] = address?.getComponents() ?? [];
    const port = Number(tcp?.value);
    if (tcp?.name === 'tcp' && http?.name === 'http' && port > 0)
      named.push(formatHostPort(ip, port));
    else ips.push(ip);
  }
  const found = named.length > 0 ? named : withAssumedPorts(ips, isOurs, settings.registryPort);
  return [...new Set(found)].slice(0, MAX_REGISTRY_ADDRESSES);
}

function withAssumedPorts(
  ips: readonly string[],
  isOurs: boolean | undefined,
  ownPort: number,
): string[] {
  const ports =
    isOurs === undefined
      ? [ownPort, DEFAULT_REGISTRY_PORT]
      : [isOurs ? DEFAULT_REGISTRY_PORT : ownPort];
  return ports.flatMap((port) => ips.map((ip) => formatHostPort(ip, port)));
}
