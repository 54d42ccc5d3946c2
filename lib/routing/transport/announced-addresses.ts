import { readFileSync } from 'node:fs';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import {
  canonicalIp,
  isLinkLocal,
  isLoopback,
  isUnspecified,
  type ListenAddress,
} from '../../base/address.ts';
import { tcpMultiaddr } from '../../base/multiaddr.ts';
import { DEFAULT_REGISTRY_PORT } from '../constants.ts';

/** The routes and interfaces of this host, as the kernel shows them. */
export interface KernelNetwork {
  /** Content of /proc/net/route; empty if there is none. */
  readonly route4: string;
  /** Content of /proc/net/ipv6_route; empty if there is none. */
  readonly route6: string;
  readonly interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;
}

export interface AnnounceSettings {
  /** Where the router listens. An empty host means all interfaces. */
  readonly routerAddress: ListenAddress;
  readonly registryPort: number;
  /** IPs that the administrator names. If empty, they are found from the routes. */
  readonly advertiseAddresses: readonly string[];
}

/** Flags of routes: Linux include/uapi/linux/route.h, ipv6_route.h. */
const RTF_UP = 0x1;
const RTF_REJECT = 0x200;
/** Interfaces of containers and virtual machines, whose addresses are the same on every host. */
const BRIDGES = /^(docker|br-|veth|cni|flannel|cali|virbr|lxc|lxd|incus|podman|nerdctl|tun|tap)/;

export function readKernelNetwork(): KernelNetwork {
  return {
    route4: readOrEmpty('/proc/net/route'),
    route6: readOrEmpty('/proc/net/ipv6_route'),
    interfaces: networkInterfaces(),
  };
}

/** Found IPs that peers cannot reach, and the IP that is announced instead of each. */
export type ReplacedIps = ReadonlyMap<string, string>;

/**
 * The multiaddrs to announce, without `/p2p`: one IP per family with `/tcp/<router port>`, and
 * again with `/tcp/<registry port>/http` if the registry is not on the port that peers assume.
 * Never a link-local IP; loopback only if the host has nothing else or the router listens only
 * there.
 */
export function announcedAddresses(
  settings: AnnounceSettings,
  network: KernelNetwork,
  replaced: ReplacedIps = new Map(),
): string[] {
  const { routerAddress, registryPort } = settings;
  const ips = givenIps(settings) ?? foundIps(settings, network).map((ip) => replaced.get(ip) ?? ip);
  return ips.flatMap((ip) => {
    const router = tcpMultiaddr(ip, routerAddress.port);
    if (registryPort === DEFAULT_REGISTRY_PORT) return [router];
    return [router, `${tcpMultiaddr(ip, registryPort)}/http`];
  });
}

/** The IPs that the settings name; undefined if they must be found from the routes. */
export function givenIps({
  advertiseAddresses,
  routerAddress,
}: AnnounceSettings): string[] | undefined {
  if (advertiseAddresses.length > 0) return advertiseAddresses.map(canonicalIp);
  const host = canonicalIp(routerAddress.host);
  return host === '' || isUnspecified(host) ? undefined : [host];
}

/** The IPs of the default routes, before any is replaced. For settings that name none. */
export function foundIps(settings: AnnounceSettings, network: KernelNetwork): string[] {
  const isOnly4 = canonicalIp(settings.routerAddress.host) === '0.0.0.0';
  const families = isOnly4 ? [4 as const] : [4 as const, 6 as const];
  const ips = families.flatMap((family) => addressOfFamily(family, network) ?? []);
  return ips.length > 0 ? ips : ['127.0.0.1'];
}

/** All IPs of this host that may be announced: none of a bridge. */
export function announceableIps({ interfaces }: KernelNetwork): Set<string> {
  const infos = Object.entries(interfaces).flatMap(([name, found]) =>
    BRIDGES.test(name) ? [] : (found ?? []),
  );
  const fit = infos.filter((info) => isAnnounceable(info, info.family === 'IPv6' ? 6 : 4));
  return new Set(fit.map(({ address }) => canonicalIp(address)));
}

/** The IP of the default route's interface, or else of the first interface that is no bridge. */
function addressOfFamily(family: 4 | 6, network: KernelNetwork): string | undefined {
  const route =
    family === 4 ? defaultInterface4(network.route4) : defaultInterface6(network.route6);
  const names = Object.keys(network.interfaces);
  const order = [
    ...names.filter((name) => name === route),
    ...names.filter((name) => name !== route && !BRIDGES.test(name)),
  ];
  for (const name of order) {
    const found = network.interfaces[name]?.find((info) => isAnnounceable(info, family));
    if (found !== undefined) return canonicalIp(found.address);
  }
  return undefined;
}

function isAnnounceable(info: NetworkInterfaceInfo, family: 4 | 6): boolean {
  if (info.internal || info.family !== `IPv${family}`) return false;
  const ip = canonicalIp(info.address);
  return !isLinkLocal(ip) && !isLoopback(ip);
}

/** Columns: Iface Destination Gateway Flags RefCnt Use Metric Mask …; all but the metric in hex. */
function defaultInterface4(table: string): string | undefined {
  return cheapest(
    table
      .split('\n')
      .slice(1)
      .map((line) => {
        const [name = '', destination, , flags = '', , , metric = '', mask] = line
          .trim()
          .split(/\s+/);
        const isDefault = destination === '00000000' && mask === '00000000';
        return { name, isUsable: isDefault && isUp(flags), metric: Number(metric) };
      }),
  );
}

/**
 * Columns: destination, its length, source, its length, next hop, metric, refs, use, flags,
 * interface; all numbers in hex.
 */
function defaultInterface6(table: string): string | undefined {
  return cheapest(
    table.split('\n').map((line) => {
      const columns = line.trim().split(/\s+/);
      const [destination = '', length, , , , metric = '', , , flags = '', name = ''] = columns;
      const isDefault = /^0{32}$/.test(destination) && length === '00' && name !== 'lo';
      return { name, isUsable: isDefault && isUp(flags), metric: Number.parseInt(metric, 16) };
    }),
  );
}

function isUp(flags: string): boolean {
  const bits = Number.parseInt(flags, 16);
  return (bits & RTF_UP) !== 0 && (bits & RTF_REJECT) === 0;
}

/** The interface of the usable route with the lowest metric, which the kernel prefers. */
function cheapest(
  routes: { name: string; isUsable: boolean; metric: number }[],
): string | undefined {
  return routes.filter(({ isUsable }) => isUsable).sort((a, b) => a.metric - b.metric)[0]?.name;
}

/** A kernel without IPv6 does not have the file of its routes. */
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
