import { isIPv6 } from 'node:net';
import type { Libp2p } from '@libp2p/interface';
import type { Multiaddr } from '@multiformats/multiaddr';
import { formatHostPort, type HostPort, ownIps } from '../../base/address.ts';
import type { RoutingTable, TablePeer } from '../dht/routing-table.ts';
import { localIpOf } from '../transport/tcp.ts';
import { isDialableIp, parseAddress, tcpAddressOf } from '../wire-peer.ts';
import { ENDPOINTS_PER_TRIAL } from './constants.ts';

/** A connection to a peer on another host, by the IPs of its two ends. */
export interface Link {
  readonly peer: TablePeer;
  readonly local: string;
  readonly remote: string;
}

/**
 * The connections to peers of the routing table on other hosts. A peer on this host tells nothing
 * about the network.
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
 * The announceable IP of this host at which most peers are connected; undefined unless these are
 * more than at `ip`. At a tie, `current`, which is announced now, wins.
 */
export function busierThan(
  ip: string,
  links: readonly Link[],
  announceable: ReadonlySet<string>,
  current: string | undefined,
): string | undefined {
  const peersAt = (local: string) =>
    new Set(links.filter((link) => link.local === local).map(({ peer }) => peer.peerId)).size;
  const locals = [...new Set(links.map(({ local }) => local))]
    .filter((local) => announceable.has(local))
    .toSorted((a, b) => Number(b === current) - Number(a === current));
  let [busiest, most]: [string | undefined, number] = [undefined, peersAt(ip)];
  for (const local of locals) {
    if (peersAt(local) > most) [busiest, most] = [local, peersAt(local)];
  }
  return busiest;
}

/** One link to each peer: two that dial each other at once have two, and would count twice. */
export function onePerPeer(links: readonly Link[]): Link[] {
  return [...new Map(links.map((link) => [link.peer.peerId, link])).values()];
}

/**
 * Where the router of a link's peer may be reached: at the IP of the connection, and at the
 * addresses that the peer names. Never on this host: a peer could make it connect to a service of
 * its own.
 */
export function endpointsOf({ peer, remote }: Link): HostPort[] {
  const own = ownIps();
  const named = peer.addresses.flatMap((bytes) => endpointOf(parseAddress(bytes)) ?? []);
  const ports = new Set(named.map(({ port }) => port));
  const connected = [...ports].map((port) => ({ host: remote, port }));
  const usable = [...connected, ...named].filter(
    ({ host }) => isIPv6(host) === isIPv6(remote) && isDialableIp(host, false) && !own.has(host),
  );
  const unique = new Map(usable.map((endpoint) => [keyOf(endpoint), endpoint]));
  return [...unique.values()].slice(0, ENDPOINTS_PER_TRIAL);
}

const keyOf = ({ host, port }: HostPort) => formatHostPort(host, port);

/** The IP and TCP port where a router listens; undefined for the address of a registry. */
function endpointOf(address: Multiaddr | undefined): HostPort | undefined {
  const found = tcpAddressOf(address);
  if (found === undefined || found.rest[0]?.name === 'http') return undefined;
  return { host: found.host, port: found.port };
}
