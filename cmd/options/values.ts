import { isIP, isIPv4, isIPv6 } from 'node:net';
import { resolve } from 'node:path';
import {
  canonicalIp,
  isDnsName,
  isMulticast,
  isUnspecified,
  type ListenAddress,
  parseHostPort,
} from '../../lib/base/address.ts';
import { formatDuration, parseDuration } from '../../lib/base/duration.ts';
import { SpegelError } from '../../lib/base/errors.ts';
import { parseSubnet, type Subnet } from '../../lib/base/subnet.ts';
import { isRegistry } from '../../lib/oci/reference.ts';

/** A message quotes at most this many characters of a wrong value. */
const MAX_QUOTED = 80;

/**
 * The error of a parser: what it expects and what it got. `readOptions` adds the flag or variable.
 */
export function usageProblem(expected: string, got: string): SpegelError {
  const quoted = JSON.stringify(got.length > MAX_QUOTED ? `${got.slice(0, MAX_QUOTED)}…` : got);
  return new SpegelError('ERR_OPTION_VALUE', `expected ${expected}, got ${quoted}`);
}

/**
 * Parses `:5000`, `127.0.0.1:5000`, `[::1]:5000`, `localhost:5000`. Port 0 lets the system choose.
 */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([^\][]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const expected = 'an address such as :5000, 127.0.0.1:5000 or [::1]:5000';
  if (match === null) throw usageProblem(expected, text);
  const [, v6, v4 = '', digits = ''] = match;
  const port = Number(digits);
  if (port > 65_535) throw usageProblem(`${expected} with a port of at most 65535`, text);
  if (v6 !== undefined) {
    // An address with a zone (`fe80::1%eth0`) is valid on one interface only: peers could not use
    // it.
    if (!isIPv6(v6) || v6.includes('%')) throw usageProblem(expected, text);
    return { host: canonicalIp(v6), port };
  }
  if (v4 === 'localhost') return { host: '127.0.0.1', port };
  if (v4 !== '' && !isIPv4(v4)) throw usageProblem(expected, text);
  return { host: v4, port };
}

/** Whether two sockets on these addresses would collide. Port 0 never collides. */
export function overlaps(a: ListenAddress, b: ListenAddress): boolean {
  if (a.port !== b.port || a.port === 0) return false;
  if (a.host === b.host) return true;
  const covers = (all: string, host: string) =>
    all === '' || all === '::' || (all === '0.0.0.0' && (host === '' || isIPv4(host)));
  return covers(a.host, b.host) || covers(b.host, a.host);
}

/** Parses an address as `parseListenAddress` does; empty means none. */
export function parseListenAddressOrNone(text: string): ListenAddress | undefined {
  return text === '' ? undefined : parseListenAddress(text);
}

/** Makes a path absolute: the daemon must not depend on the directory that it starts in. */
export function parsePath(text: string): string {
  if (text === '' || text.includes('\0')) throw usageProblem('a path', text);
  return resolve(text);
}

/** Parses a path as `parsePath` does; `-` means standard input. */
export function parsePathOrInput(text: string): string {
  return text === '-' ? '-' : parsePath(text);
}

/** Parses the fingerprint of a network key, as logs and `spegel key show` print it. */
export function parseFingerprint(text: string): string {
  if (/^[0-9a-f]{8}$/i.test(text)) return text.toLowerCase();
  throw usageProblem('a fingerprint of 8 hex digits such as 1a2b3c4d', 'something else');
}

/** Parses a path as `parsePath` does; empty means none. */
export function parsePathOrNone(text: string): string {
  return text === '' ? '' : parsePath(text);
}

/**
 * Parses containerd's `config_path`: absolute directories, separated by colons, in the order in
 * which containerd searches them. None may be empty, repeated, or inside another.
 */
export function parseHostsPaths(text: string): readonly string[] {
  const given = text.split(':');
  const isList = !text.includes('\0') && given.every((path) => path.startsWith('/'));
  if (!isList) {
    const form = '/etc/containerd/certs.d:/etc/docker/certs.d';
    throw usageProblem(`absolute directories with a colon between them, such as ${form}`, text);
  }
  const paths = given.map((path) => resolve(path));
  for (const [index, path] of paths.entries()) {
    const others = paths.toSpliced(index, 1);
    const around = others.find((other) => `${path}/`.startsWith(other === '/' ? '/' : `${other}/`));
    if (around === undefined) continue;
    const found = around === path ? `${path} twice` : `${path} inside ${around}`;
    throw usageProblem('each directory once and none inside another', found);
  }
  return paths;
}

/** Checks a version of containerd, complete or shortened: `1.7.24`, `v2.1`, `2`. */
export function parseContainerdVersion(text: string): string {
  if (/^v?[1-9]\d{0,2}(?:\.\d{1,4}){0,2}(?:[-+~].{1,40})?$/.test(text)) return text;
  throw usageProblem('a version of containerd, such as 1.7.24 or 2', text);
}

/**
 * Parses containerd's socket: a path, or a gRPC target such as
 * `unix:///run/containerd/containerd.sock`.
 */
export function parseSocketPath(text: string): string {
  return parsePath(text.replace(/^unix:(?:\/\/(?=\/))?/, ''));
}

/** Parses a Go duration into milliseconds between two bounds, both included. */
export function durationBetween(minMs: number, maxMs: number): (text: string) => number {
  const bounds = `between ${formatDuration(minMs)} and ${formatDuration(maxMs)}`;
  return (text) => {
    const ms = parseDuration(text);
    if (ms === undefined) throw usageProblem('a duration such as 200ms or 1m30s', text);
    if (ms < minMs || ms > maxMs) throw usageProblem(`a duration ${bounds}`, text);
    return ms;
  };
}

/** Parses a whole number between two bounds, both included. */
export function integerBetween(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) {
      throw usageProblem(`a whole number between ${min} and ${max}`, text);
    }
    return value;
  };
}

/** Parses one of some words, in any case. */
export function oneOf<const W extends readonly string[]>(words: W): (text: string) => W[number] {
  return (text) => {
    const found = words.find((word) => word.toLowerCase() === text.toLowerCase());
    if (found === undefined) throw usageProblem(words.join(' or '), text);
    return found;
  };
}

/** What Go Spegel calls "all registries", also written `*`. */
export const ALL_REGISTRIES = '_default';

/**
 * Parses the host of a registry, from a URL as in Go Spegel (`https://docker.io`) or alone
 * (`10.0.0.1:5000`), or `_default` for all. Lower case, as containerd writes host names.
 */
export function parseRegistry(text: string): string {
  if (text === '*' || text === ALL_REGISTRIES) return ALL_REGISTRIES;
  const host = text.replace(/^https?:\/\//i, '').toLowerCase();
  if (!isRegistry(host)) {
    const expected = 'a registry such as https://docker.io or 10.0.0.1:5000, without path or user';
    throw usageProblem(expected, text);
  }
  return host;
}

/** The registry hosts to mirror, as the daemon takes them: empty for all. */
export function withoutWildcard(registries: readonly string[]): readonly string[] {
  return registries.includes(ALL_REGISTRIES) ? [] : [...new Set(registries)];
}

/** Checks a containerd namespace, by containerd's rules for identifiers, or `*` for all. */
export function parseNamespace(text: string): string {
  const identifier = /^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/;
  if (text === '*' || (text.length <= 76 && identifier.test(text))) return text;
  throw usageProblem('a containerd namespace such as k8s.io, or * for all', text);
}

/**
 * Parses the address of a host: no zone, not unspecified, not multicast. Returns its canonical
 * form.
 */
export function parseIpAddress(text: string): string {
  const ip = canonicalIp(text);
  if (isIP(text) === 0 || text.includes('%') || isUnspecified(ip) || isMulticast(ip)) {
    throw usageProblem('an IP address of this host such as 10.0.0.7 or fd00::7', text);
  }
  return ip;
}

/** Parses `any`, `host`, or addresses of clients: `10.0.3.0/24`, `fd00::7`. */
export function parseMirrorClient(text: string): 'any' | 'host' | Subnet {
  const word = text.toLowerCase();
  if (word === 'any' || word === 'host') return word;
  const subnet = parseSubnet(text);
  if (subnet !== undefined) return subnet;
  throw usageProblem('any, host, or addresses such as 10.0.3.0/24 or fd00::7', text);
}

const RATE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

/** Parses `1MB/s`, `512KiB/s` or `1000000` into bytes per second. 0 is allowed. */
export function parseRate(text: string): number {
  const [, number = '', unit = ''] =
    /^(\d{1,9}(?:\.\d{1,3})?)([kKMG]?i?B?)(?:\/s)?$/.exec(text) ?? [];
  const rate = Number(number) * (RATE_UNITS[unit] ?? Number.NaN);
  if (number === '' || Number.isNaN(rate))
    throw usageProblem('a rate such as 1MB/s or 512KiB/s', text);
  return rate;
}

/** Parses `name` or `name:port`. An IP address is no domain. */
export function parseDnsDomain(text: string): { host: string; port: number | undefined } {
  const parsed = isDnsName(text) ? { host: text, port: undefined } : parseHostPort(text);
  if (parsed === undefined || !isDnsName(parsed.host)) {
    throw usageProblem('a DNS name such as spegel.example.com or spegel.example.com:5001', text);
  }
  return parsed;
}

/** Parses an http or https URL. One without a path means `/id`, as Go Spegel 0.7.4 writes it. */
export function parseBootstrapUrl(text: string): string {
  const url = /^https?:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  // A password would be shown in the log.
  if (url === undefined || url.username !== '' || url.password !== '' || url.hash !== '') {
    throw usageProblem('a URL such as http://10.0.0.1:5002/id, without user', text);
  }
  if (url.pathname === '/') url.pathname = '/id';
  return url.href;
}
