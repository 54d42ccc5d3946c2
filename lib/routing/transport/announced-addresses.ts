import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import {
  canonicalIp,
  isLinkLocal,
  isLoopback,
  isUnspecified,
  type ListenAddress,
} from '../../base/address.ts';
import { DEFAULT_REGISTRY_PORT } from '../constants.ts';

/** What this host knows of its network, as it is read from the kernel. */
export interface KernelNetwork {
  /** Content of /proc/net/route, or empty. */
  readonly route4: string;
  /** Content of /proc/net/ipv6_route, or empty. */
  readonly route6: string;
  readonly interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;
}

export interface AnnounceSettings {
  /** Where the router listens; an empty host is all interfaces. */
  readonly routerAddress: ListenAddress;
  readonly registryPort: number;
  /** IPs given by the administrator; empty: found out. */
  readonly advertiseAddresses: readonly string[];
}

/** Linux include/uapi/linux/route.h, ipv6_route.h. */
const RTF_UP = 0x1;
const RTF_REJECT = 0x200;
/** Interfaces that containers and virtual machines hang on; their addresses are the same on every host. */
const BRIDGES = /^(docker|br-|veth|cni|flannel|cali|virbr|lxc|lxd|incus|podman|nerdctl|tun|tap)/;

export function readKernelNetwork(): KernelNetwork {
  return {
    route4: readOrEmpty('/proc/net/route'),
    route6: readOrEmpty('/proc/net/ipv6_route'),
    interfaces: networkInterfaces(),
  };
}

/** IPs that were found out, and what is announced in place of each. */
export type ReplacedIps = ReadonlyMap<string, string>;

/**
 * The multiaddrs to announce, without `/p2p`: one address per family, each with `/tcp/<router port>` and, when
 * the registry is not on the port that a peer assumes, a second one `/tcp/<registry port>/http`. Never
 * link-local; loopback only when the host has nothing else or the router listens there alone.
 */
export function announcedAddresses(
  settings: AnnounceSettings,
  network: KernelNetwork,
  replaced: ReplacedIps = new Map(),
): string[] {
  const { routerAddress, registryPort } = settings;
  const ips = givenIps(settings) ?? foundIps(settings, network).map((ip) => replaced.get(ip) ?? ip);
  return ips.flatMap((ip) => {
    const base = `/${isIPv6(ip) ? 'ip6' : 'ip4'}/${ip}/tcp`;
    const router = `${base}/${routerAddress.port}`;
    if (registryPort === DEFAULT_REGISTRY_PORT) return [router];
    return [router, `${base}/${registryPort}/http`];
  });
}

/** The IPs that the settings name; undefined where they are to be found out. */
export function givenIps({
  advertiseAddresses,
  routerAddress,
}: AnnounceSettings): string[] | undefined {
  if (advertiseAddresses.length > 0) return advertiseAddresses.map(canonicalIp);
  const host = canonicalIp(routerAddress.host);
  return host === '' || isUnspecified(host) ? undefined : [host];
}

/**
 * The IPs of the default routes, before any is replaced. To be asked where the settings name none.
 */
export function foundIps(settings: AnnounceSettings, network: KernelNetwork): string[] {
  const isOnly4 = canonicalIp(settings.routerAddress.host) === '0.0.0.0';
  const families = isOnly4 ? [4 as const] : [4 as const, 6 as const];
  const ips = families.flatMap((family) => addressOfFamily(family, network) ?? []);
  return ips.length > 0 ? ips : ['127.0.0.1'];
}

/**
 * All IPs of this host that may be announced: none of a bridge, since those are the same on every
 * host.
 */
export function announceableIps({ interfaces }: KernelNetwork): Set<string> {
  const infos = Object.entries(interfaces).flatMap(([name, found]) =>
    BRIDGES.test(name) ? [] : (found ?? []),
  );
  const fit = infos.filter((info) => isAnnounceable(info, info.family === 'IPv6' ? 6 : 4));
  return new Set(fit.map(({ address }) => canonicalIp(address)));
}

/** The address on the default route's interface, else on the first interface that is no container bridge. */
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

/** Columns: Iface Destination Gateway Flags RefCnt Use Metric Mask …, numbers in hex but for the metric. */
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
        return { name, usable: isDefault && isUp(flags), metric: Number(metric) };
      }),
  );
}

/** Columns: destination, its length, source, its length, next hop, metric, refs, use, flags, interface; all hex. */
function defaultInterface6(table: string): string | undefined {
  return cheapest(
    table.split('\n').map((line) => {
      const columns = line.trim().split(/\s+/);
      const [destination = '', length, , , , metric = '', , , flags = '', name = ''] = columns;
      const isDefault = /^0{32}$/.test(destination) && length === '00' && name !== 'lo';
      return { name, usable: isDefault && isUp(flags), metric: Number.parseInt(metric, 16) };
    }),
  );
}

function isUp(flags: string): boolean {
  const bits = Number.parseInt(flags, 16);
  return (bits & RTF_UP) !== 0 && (bits & RTF_REJECT) === 0;
}

function cheapest(routes: { name: string; usable: boolean; metric: number }[]): string | undefined {
  return routes.filter(({ usable }) => usable).sort((a, b) => a.metric - b.metric)[0]?.name;
}

/** A kernel without IPv6 has no such file. */
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
