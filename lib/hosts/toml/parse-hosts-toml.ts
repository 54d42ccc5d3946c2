import { resolve } from 'node:path';
import { parseDuration } from '../../base/duration.ts';
import { type HostUrl, hostUrl } from './host-url.ts';
import { LeftAlone } from './left-alone.ts';
import { meaningOf } from './semantics.ts';

/** A host of a hosts.toml, or its `server`, with what the file says of it. */
export interface RegistryHost {
  readonly url: HostUrl;
  readonly pulls: boolean;
  readonly resolves: boolean;
  /** Absolute paths. */
  readonly ca: readonly string[];
  readonly client: readonly ClientCertificate[];
  /** Undefined: the file does not say; for a local registry that means true. */
  readonly skipVerify: boolean | undefined;
  /** True where the file has any setting of TLS, be it `skip_verify = false`. */
  readonly hasTlsSettings: boolean;
  /** In the form that Node sends, without those that Go's client does not send. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
}

export interface ClientCertificate {
  /** Absolute path, as the key's. */
  readonly cert: string;
  /** Undefined: the key is in the certificate's file. */
  readonly key: string | undefined;
}

/** The hosts that a hosts.toml names (containerd's hosts.md). */
export interface HostsFile {
  /** In containerd's order. */
  readonly hosts: readonly RegistryHost[];
  /** containerd asks it last. Without a host in its URL it is the registry itself. */
  readonly server: RegistryHost;
  /** Some version of containerd rejects the file, and asks only the registry itself. */
  readonly isDisputed: boolean;
}

type Table = Readonly<Record<string, unknown>>;

/** A value that makes containerd reject the whole file. */
class Rejected extends Error {}

/**
 * Reads the hosts.toml of this directory. Undefined for a file that every version of containerd
 * rejects: no TOML, or a value of a wrong type. Where the versions read a file differently, the
 * result names more hosts rather than fewer.
 */
export function parseHostsToml(text: string, directory: string): HostsFile | undefined {
  try {
    return hostsFile(text, directory);
  } catch (error) {
    if (error instanceof LeftAlone || error instanceof Rejected) return undefined;
    throw error;
  }
}

function hostsFile(text: string, directory: string): HostsFile {
  const { root, hosts, order } = meaningOf(text);
  // From 2.0 on only the hosts with a `[host."…"]` line of their own count, before that also
  // others.
  const names = new Set([...order, ...Object.keys(hosts ?? {})]);
  const tables = [...names].map((name) => tableOf(hosts?.[name]));
  const read = (name: string, table: Table) => registryHost(name, withSmallKeys(table), directory);
  return {
    hosts: [...names].map((name, index) => read(name, tables[index] ?? {})),
    server: read(typed(withSmallKeys(root).server, 'string') ?? '', root),
    // Before 2.0 a file without `host` is rejected.
    isDisputed:
      hosts === undefined ||
      DISPUTED.some((form) => form.test(text)) ||
      [root, ...tables].some(isDisputed),
  };
}

/** Forms that the TOML parsers of some versions reject. */
const DISPUTED: readonly RegExp[] = [
  /^\uFEFF/,
  // Brackets, as of IPv6, in the quoted name of a table.
  /^[ \t]*\[[^"'\n]*["'][^"'\n]*[[\]]/m,
  // An inline table over several lines, or with a comma at its end: TOML 1.1.
  /=[ \t]*\{(?:[^}\n]*$|[^\n]*,[ \t]*\})/m,
];

/** 1.x knows neither `dial_timeout` nor keys in capitals, and `referrers` is unknown before 2.2. */
function isDisputed(table: Table): boolean {
  const { capabilities, dial_timeout: timeout } = withSmallKeys(table);
  const isBadTimeout =
    timeout !== undefined &&
    timeout !== '' &&
    (typeof timeout !== 'string' || parseDuration(timeout) === undefined);
  const hasReferrers = strings(capabilities ?? []).some((one) => /^referrers$/i.test(one));
  return isBadTimeout || hasReferrers || Object.keys(table).some((key) => /[A-Z]/.test(key));
}

/**
 * From 2.0 on keys may have capitals. Those that make containerd ask fewer hosts count only as
 * written.
 */
function withSmallKeys(table: Table): Table {
  const small = Object.entries(table).map(([key, value]) => [key.toLowerCase(), value] as const);
  const others = small.filter(([key]) => key !== 'capabilities' && key !== 'host');
  return { ...Object.fromEntries(others), ...table };
}

function registryHost(name: string, table: Table, directory: string): RegistryHost {
  const url = hostUrl(name, typed(table.override_path, 'boolean') ?? false);
  if (url === undefined) throw new Rejected();
  const absolute = (path: string) => resolve(directory, path);
  const skipVerify = typed(table.skip_verify, 'boolean');
  const ca = table.ca === undefined ? undefined : stringOrStrings(table.ca).map(absolute);
  const client = clientCertificates(table.client, absolute);
  return {
    url,
    ...capabilities(table.capabilities),
    ca: ca ?? [],
    client,
    skipVerify,
    hasTlsSettings: ca !== undefined || client.length > 0 || skipVerify !== undefined,
    headers: headersOf(table.header),
  };
}

const CAPABILITIES: ReadonlySet<string> = new Set(['pull', 'resolve', 'push', 'referrers']);

/** No capabilities mean all of them. */
function capabilities(value: unknown): Pick<RegistryHost, 'pulls' | 'resolves'> {
  const given = strings(value ?? []).map((one) => one.toLowerCase());
  if (given.some((one) => !CAPABILITIES.has(one))) throw new Rejected();
  const has = (one: string) => given.length === 0 || given.includes(one);
  return { pulls: has('pull'), resolves: has('resolve') };
}

/** A path, paths, or pairs of a certificate and its key. */
function clientCertificates(
  value: unknown,
  absolute: (path: string) => string,
): ClientCertificate[] {
  const given = value === undefined ? [] : Array.isArray(value) ? (value as unknown[]) : [value];
  return given.map((one) => {
    const [cert = '', key = '', ...rest] = stringOrStrings(one);
    if (Array.isArray(one) && (one.length !== 2 || rest.length > 0)) throw new Rejected();
    return { cert: absolute(cert), key: key === '' ? undefined : absolute(key) };
  });
}

/** Headers that Go's client writes itself, whatever the settings say. */
const NOT_SENT: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'trailer',
]);

function headersOf(value: unknown): RegistryHost['headers'] {
  const given = Object.entries(tableOf(value ?? {})).map(
    // Go sends UTF-8; Node sends the low byte of each character.
    ([name, one]) =>
      [name, stringOrStrings(one).map((text) => Buffer.from(text).toString('latin1'))] as const,
  );
  return Object.fromEntries(given.filter(([name]) => !NOT_SENT.has(name.toLowerCase())));
}

function stringOrStrings(value: unknown): readonly string[] {
  return typeof value === 'string' ? [value] : strings(value);
}

function strings(value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.some((one) => typeof one !== 'string')) throw new Rejected();
  return value as string[];
}

function tableOf(value: unknown): Table {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Rejected();
  return value as Table;
}

function typed(value: unknown, type: 'string'): string | undefined;
function typed(value: unknown, type: 'boolean'): boolean | undefined;
function typed(value: unknown, type: string): unknown {
  if (value !== undefined && typeof value !== type) throw new Rejected();
  return value;
}
