import { Resolver, lookup as systemLookup } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { isDnsName } from '../base/address.ts';
import { codeOf } from '../base/errors.ts';
import { addressesInHosts, searchDomains } from '../base/host-names.ts';
import { DNS_QUERY_MS, DNS_QUERY_TRIES, MAX_HOST_ADDRESSES } from './constants.ts';

/** An address in the form of `net.connect`'s option `lookup`. */
export interface HostAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

export interface DnsLookupSettings {
  /** hosts(5) */
  readonly hosts: string;
  /** resolv.conf(5) */
  readonly resolvConf: string;
  /** Addresses of name servers; those of the system by default. */
  readonly servers?: readonly string[];
}

/**
 * The addresses of a host name, from /etc/hosts or DNS, in the order of Go's resolver. Does not use
 * getaddrinfo for DNS: a silent name server blocks a thread of libuv's small pool, and two such
 * names block all others. Rejects with the code ENOTFOUND if the name does not exist, else as the
 * resolver does.
 */
export async function lookUpHost(
  name: string,
  settings: DnsLookupSettings = SYSTEM,
): Promise<HostAddress[]> {
  const family = isIP(name);
  if (family !== 0) return [{ address: name, family: family === 4 ? 4 : 6 }];
  const local = await inHostsFile(name, settings.hosts);
  if (local.length > 0) return local;
  if (!isDnsName(name)) throw notFound(name);
  for (const full of [name, ...(await searched(name, settings.resolvConf))]) {
    const found = await inDns(full, settings.servers);
    if (found.length > 0) return found;
  }
  // Only getaddrinfo knows other sources of names (mDNS, LDAP). Only it can tell that a name does
  // not exist.
  const others = await systemLookup(name, { all: true });
  return others.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
}

/** Addresses of both families. Empty if both answers say that there is no such name or address. */
async function inDns(name: string, servers?: readonly string[]): Promise<HostAddress[]> {
  // A new resolver reads resolv.conf again, which changes with the network.
  const resolver = new Resolver({ timeout: DNS_QUERY_MS, tries: DNS_QUERY_TRIES });
  if (servers !== undefined) resolver.setServers(servers);
  const ask = async (family: 4 | 6): Promise<HostAddress[]> => {
    const addresses = await (family === 4 ? resolver.resolve4(name) : resolver.resolve6(name));
    return addresses.map((address) => ({ address, family }));
  };
  const answers = await Promise.allSettled([ask(4), ask(6)]);
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  if (found.length > 0) return interleaved(found);
  const failed = answers.find(
    (answer) => answer.status === 'rejected' && !NONE.includes(codeOf(answer.reason) ?? ''),
  );
  if (failed?.status === 'rejected') throw failed.reason;
  return [];
}

/** Alternates the families. If one family does not work, half of the first addresses still do. */
function interleaved(found: readonly HostAddress[]): HostAddress[] {
  const v4 = found.filter(({ family }) => family === 4);
  const v6 = found.filter(({ family }) => family === 6);
  const turns = Array.from({ length: Math.max(v4.length, v6.length) }, (_, i) => [v4[i], v6[i]]);
  return turns
    .flat()
    .flatMap((one) => one ?? [])
    .slice(0, MAX_HOST_ADDRESSES);
}

async function inHostsFile(name: string, path: string): Promise<HostAddress[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const found = addressesInHosts(text, name).flatMap((address): HostAddress[] => {
    const family = isIP(address);
    return family === 0 ? [] : [{ address: address.toLowerCase(), family: family === 4 ? 4 : 6 }];
  });
  return interleaved(found);
}

/** The name below each domain of the search list in resolv.conf(5). */
async function searched(name: string, path: string): Promise<string[]> {
  if (name.endsWith('.')) return [];
  const text = await readFile(path, 'utf8').catch(() => '');
  return searchDomains(text).map((domain) => `${name}.${domain}`);
}

function notFound(name: string): Error {
  return Object.assign(new Error(`${name} is no name that DNS can have`), { code: 'ENOTFOUND' });
}

const SYSTEM: DnsLookupSettings = { hosts: '/etc/hosts', resolvConf: '/etc/resolv.conf' };

/** Codes of c-ares for a name without an address of that family, or a name that does not exist. */
const NONE: readonly string[] = ['ENOTFOUND', 'ENODATA'];
