import { readFileSync } from 'node:fs';
import { isIP, isIPv4 } from 'node:net';
import { hostname } from 'node:os';
import { canonicalIp, isLoopback, isUnspecified, ownIps } from '../base/address.ts';
import { addressesInHosts, isHostname, isLocalhost } from '../base/host-names.ts';

/** The names and addresses of this host; tests replace them. */
export interface LocalNames {
  readonly ips?: () => ReadonlySet<string>;
  readonly hostname?: () => string;
  /** Text of /etc/hosts. */
  readonly hostsFile?: () => string;
}

/**
 * The addresses of this host to which a URL may lead: by address, `localhost`, the host's name, or
 * /etc/hosts. Empty for a URL of another host. It does not ask DNS: a resolver can hang, and the
 * unit reaches none. For commands, which ask once: unlike http/own-names.ts, which answers for each
 * request, it keeps nothing, and it works in a unit without netlink.
 */
export function localAddresses({ hostname: host }: URL, names: LocalNames = {}): string[] {
  const ips = (names.ips ?? localIps)();
  const name = host.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  const all = isIP(name) === 0 ? addressesOf(name.toLowerCase(), names, ips) : [canonicalIp(name)];
  // Linux connects an unspecified address to the loopback.
  const led = all.map((ip) => (isUnspecified(ip) ? (isIPv4(ip) ? '127.0.0.1' : '::1') : ip));
  return [...new Set(led)].filter((ip) => (isIPv4(ip) && isLoopback(ip)) || ips.has(ip));
}

function addressesOf(name: string, names: LocalNames, ips: ReadonlySet<string>): string[] {
  return [
    ...(isLocalhost(name) ? ['127.0.0.1', '::1'] : []),
    ...(isHostname(name, (names.hostname ?? hostname)()) ? ips : []),
    ...addressesInHosts((names.hostsFile ?? readHosts)(), name).map(canonicalIp),
  ];
}

function readHosts(): string {
  return read('/etc/hosts');
}

/**
 * The addresses of this host's interfaces. The unit of the settings has no netlink, which libc
 * needs, so the kernel's own lists are read as well.
 */
function localIps(): Set<string> {
  const found = new Set<string>();
  // The line behind an address tells its kind.
  const routes = read('/proc/self/net/fib_trie');
  for (const [, ip = ''] of routes.matchAll(/\|-- (\S+)\n\s+\/32 host LOCAL/g)) found.add(ip);
  for (const line of read('/proc/self/net/if_inet6').split('\n')) {
    const groups = line.slice(0, 32).match(/[0-9a-f]{4}/g) ?? [];
    if (groups.length === 8) found.add(canonicalIp(groups.join(':')));
  }
  try {
    return found.union(ownIps());
  } catch {
    return found;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
