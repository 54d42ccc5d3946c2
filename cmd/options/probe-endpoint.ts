import { isIP, isIPv6 } from 'node:net';
import {
  type HostPort,
  isMulticast,
  isUnspecified,
  parseHostPort,
} from '../../lib/base/address.ts';
import type { SpegelError } from '../../lib/base/errors.ts';
import { usageProblem } from './values.ts';

/** No wait has more hosts: a longer list is a mistake. */
const MAX_ENTRIES = 4096;

const EXAMPLES = 'name:port such as spegel.example:8080, 10.0.0.1,10.0.0.2:8080 or [fd00::1]:8080';

/**
 * Parses the hosts to probe: `host[:port]`, separated by commas or spaces. A host is a name, IPv4,
 * or IPv6 in brackets. A host without a port takes that of the last entry, which must have one.
 * Returns each pair of host and port once, names in lower case, addresses in their canonical form.
 * Throws SpegelError ERR_OPTION_VALUE.
 */
export function parseProbeEndpoint(text: string): readonly HostPort[] {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '');
  const last = entries.at(-1);
  if (last === undefined) throw usageProblem(EXAMPLES, text);
  if (entries.length > MAX_ENTRIES) throw usageProblem(`at most ${MAX_ENTRIES} hosts`, text);
  const port = parseEntry(last)?.port;
  const endpoints = entries.map((entry) => {
    const endpoint = parseEntry(entry, port);
    if (endpoint === undefined) throw problemOf(entry);
    return endpoint;
  });
  const unique = new Map(
    endpoints.map((endpoint) => [`${endpoint.host} ${endpoint.port}`, endpoint]),
  );
  return [...unique.values()];
}

function parseEntry(entry: string, defaultPort?: number): HostPort | undefined {
  // Bare IPv6 is ambiguous: the 8080 of fd00::1:8080 is a part of the address. A zone would be
  // lost.
  if (isIPv6(entry) || entry.includes('%')) return undefined;
  const found = parseHostPort(entry, defaultPort);
  if (found === undefined) return undefined;
  const host = found.host.toLowerCase();
  // Linux connects 0.0.0.0 to itself: this host would answer for another.
  const isNobody = isIP(host) !== 0 && (isUnspecified(host) || isMulticast(host));
  return isNobody ? undefined : { host, port: found.port };
}

function problemOf(entry: string): SpegelError {
  const wantsBrackets = isIPv6(entry) && !entry.includes('%');
  if (wantsBrackets) return usageProblem('IPv6 in brackets such as [fd00::1]:8080', entry);
  // The entry is right except for its port, which only the last entry must have.
  const wantsPort = parseEntry(entry, 1) !== undefined;
  return usageProblem(wantsPort ? `a port at the last host, ${EXAMPLES}` : EXAMPLES, entry);
}
