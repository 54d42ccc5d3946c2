import { isIPv6 } from 'node:net';
import type { Libp2p } from '@libp2p/interface';
import type { Multiaddr } from '@multiformats/multiaddr';
import { canonicalIp, formatHostPort, type HostPort, ownIps } from '../../base/address.ts';
import type { RoutingTable, TablePeer } from '../dht/routing-table.ts';
import { isDialableIp } from '../registry-address.ts';
import { localIpOf } from '../transport/tcp.ts';
import { parseAddress } from '../wire-peer.ts';

/** A connection to a peer on another host, by the IPs of its two ends. */
export interface Link {
  readonly peer: TablePeer;
  readonly local: string;
  readonly remote: string;
}

/** The claims of a peer bound how many connections are tried. */
const MAX_ENDPOINTS = 4;

/**
 * The connections to peers of the table. A peer on this very host says nothing about the network.
 */
export function linksTo(table: RoutingTable, libp2p: Pick<Libp2p, 'getConnections'>): Link[] {
  const own = ownIps();
  return libp2p.getConnections().flatMap((connection) => {
    const peer = table.get(connection.remotePeer.toString());
    const local = localIpOf(connection);
    const remote = endpointOf(connection.remoteAddr)?.host;
    if (peer === undefined || local === undefined || remote === undefined) return [];
    return own.has(remote) ? [] : [{ peer, local, remote }];
  });
}

/**
 * The IP, of those that may be announced, at which most peers are connected, if these are more than
 * at `ip`. What is announced now stays at a tie.
 */
export function busierThan(
  ip: string,
  links: readonly Link[],
  announceable: ReadonlySet<string>,
  now: string | undefined,
): string | undefined {
  const peersAt = (local: string) =>
    new Set(links.filter((link) => link.local === local).map(({ peer }) => peer.peerId)).size;
  const locals = [...new Set(links.map(({ local }) => local))]
    .filter((local) => announceable.has(local))
    .toSorted((a, b) => Number(b === now) - Number(a === now));
  let [busiest, most]: [string | undefined, number] = [undefined, peersAt(ip)];
  for (const local of locals) {
    if (peersAt(local) > most) [busiest, most] = [local, peersAt(local)];
  }
  return busiest;
}

/**
 * Where the router of a link's peer may be reached: at the IP that it is connected by, and where it
 * says. Never at this host itself: a peer could have us connect to a service of our own.
 */
export function endpointsOf({ peer, remote }: Link): HostPort[] {
  const own = ownIps();
  const said = peer.addresses.flatMap((bytes) => endpointOf(parseAddress(bytes)) ?? []);
  const ports = new Set(said.map(({ port }) => port));
  const known = [...ports].map((port) => ({ host: remote, port }));
  const fit = [...known, ...said].filter(
    ({ host }) => isIPv6(host) === isIPv6(remote) && isDialableIp(host, false) && !own.has(host),
  );
  const unique = new Map(fit.map((endpoint) => [keyOf(endpoint), endpoint]));
  return [...unique.values()].slice(0, MAX_ENDPOINTS);
}

const keyOf = ({ host, port }: HostPort) => formatHostPort(host, port);

/**
 * The IP and the TCP port of an address where a router listens; undefined for any other address.
 */
function endpointOf(address: Multiaddr | undefined): HostPort | undefined {
  const [where, tcp, http] = address?.getComponents() ?? [];
  const isIp = where?.name === 'ip4' || where?.name === 'ip6';
  if (!isIp || tcp?.name !== 'tcp' || http?.name === 'http') return undefined;
  return { host: canonicalIp(where?.value ?? ''), port: Number(tcp.value) };
}
