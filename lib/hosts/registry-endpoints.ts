import { access, readdir, stat } from 'node:fs/promises';
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { join, resolve } from 'node:path';
import { codeOf } from '../base/errors.ts';
import { readSmallFile } from '../base/read-small-file.ts';
import { NO_HOST } from './toml/host-url.ts';
import {
  type ClientCertificate,
  type HostsFile,
  parseHostsToml,
  type RegistryHost,
} from './toml/parse-hosts-toml.ts';
import {
  DEFAULT_DIRECTORY,
  directoryNames,
  hostOf,
  isLocalRegistry,
} from './toml/registry-name.ts';
import { MAX_FILE_BYTES } from './transaction/constants.ts';
import { HOSTS_TOML } from './transaction/read-tree.ts';

/** One endpoint that containerd asks for a registry, besides this daemon. */
export interface RegistryEndpoint {
  /**
   * Scheme, host, port and path without a trailing slash, always a URL that Node parses. It stands
   * in front of `/<repository>/manifests/<tag>`, as in `https://registry-1.docker.io/v2`.
   */
  readonly baseUrl: string;
  /**
   * `baseUrl` is https, and the same over http is asked where no TLS is spoken there (containerd
   * from 1.7 on; 1.6 asks over http at once).
   */
  readonly fallsBackToHttp: boolean;
  /** containerd appends `?ns=<registry>`, since the host is not the registry's own. */
  readonly needsNs: boolean;
  /** It may give content by its digest. */
  readonly pulls: boolean;
  /** It may resolve tags. containerd asks it for a tag only where `pulls` is true as well. */
  readonly resolves: boolean;
  /** Absolute paths of CA certificates (PEM) that are trusted besides the system's. */
  readonly ca: readonly string[];
  /** Absolute paths. This process need not be root, and may be unable to read the files. */
  readonly client: readonly ClientCertificate[];
  readonly skipVerify: boolean;
  /**
   * Sent with each request to this host, and from containerd 2.0 on also when a token is fetched.
   * Node accepts them.
   */
  readonly headers: Readonly<Record<string, readonly string[]>>;
}

/** Whether containerd asks the endpoint for tags. */
export function isAskedForTags({ pulls, resolves }: RegistryEndpoint): boolean {
  return pulls && resolves;
}

/**
 * The endpoints that containerd asks for a registry, in its order, each once and without this
 * daemon. `configPaths` are the directories of its `config_path`: the first directory of the
 * registry in any of them counts (containerd's hosts.md). Never rejects. A file that cannot be read
 * counts as missing, and without any file the registry itself is asked.
 */
export async function registryEndpoints(
  configPaths: readonly string[],
  registry: string,
  isOwn: (url: URL) => boolean,
): Promise<readonly RegistryEndpoint[]> {
  const hosts = await hostsOf(configPaths, registry);
  const endpoints = hosts.flatMap((host) => endpointsOf(host, registry));
  const others = endpoints.filter(({ baseUrl }) => !isOwn(new URL(baseUrl)));
  return [...new Map(others.map((one) => [JSON.stringify(one), one])).values()];
}

async function hostsOf(configPaths: readonly string[], registry: string): Promise<RegistryHost[]> {
  const directory = await directoryOf(configPaths, registry);
  if (directory === undefined) return [withCertificates({ ca: [], client: [] }, registry)];
  const file = await hostsFileIn(directory);
  const hosts = file === undefined ? [] : [...file.hosts, serverOf(file, registry)];
  if (file !== undefined && !file.isDisputed) return hosts;
  return [...hosts, withCertificates(await certificatesIn(directory), registry)];
}

function serverOf({ server }: HostsFile, registry: string): RegistryHost {
  return server.url.host === '' ? asItself(server, registry) : server;
}

/** The registry itself, for a directory without hosts.toml. */
function withCertificates(certificates: Certificates, registry: string): RegistryHost {
  const hasTlsSettings = certificates.ca.length > 0 || certificates.client.length > 0;
  const rest = { pulls: true, resolves: true, skipVerify: undefined, headers: {} };
  return asItself({ url: NO_HOST, ...rest, ...certificates, hasTlsSettings }, registry);
}

/**
 * The first path that exists. It may be a file: then containerd fails, and our answer does not
 * count.
 */
async function directoryOf(
  configPaths: readonly string[],
  registry: string,
): Promise<string | undefined> {
  const names = [...directoryNames(registry), DEFAULT_DIRECTORY];
  const paths = configPaths.flatMap((root) => names.map((name) => resolve(join(root, name))));
  for (const path of paths) {
    try {
      await stat(path);
      return path;
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') return undefined;
    }
  }
  return undefined;
}

async function hostsFileIn(directory: string): Promise<HostsFile | undefined> {
  try {
    const text = await readSmallFile(join(directory, HOSTS_TOML), MAX_FILE_BYTES);
    return text === '' ? undefined : parseHostsToml(text, directory);
  } catch {
    return undefined;
  }
}

/** Empty for a host that containerd cannot ask. */
function endpointsOf(host: RegistryHost, registry: string): RegistryEndpoint[] {
  const { url, pulls, resolves, ca, client, skipVerify = false, headers } = host;
  const rest = { pulls, resolves, ca, client, skipVerify, headers };
  const needsNs = url.host !== registry && url.host !== hostOf(registry);
  const endpoints = schemesOf(host).map(({ scheme, fallsBackToHttp }) => {
    const baseUrl = `${scheme}://${url.host}${encodeURI(url.path)}`;
    return { baseUrl, fallsBackToHttp, needsNs, ...rest };
  });
  return endpoints.filter(({ baseUrl }) => URL.canParse(baseUrl) && areSendable(headers));
}

type Scheme = Pick<RegistryEndpoint, 'fallsBackToHttp'> & { readonly scheme: 'http' | 'https' };

const HTTP: Scheme = { scheme: 'http', fallsBackToHttp: false };
const HTTPS: Scheme = { scheme: 'https', fallsBackToHttp: false };

/**
 * The schemes by which a host is asked. A host with http and TLS settings is asked over https
 * first. Without a port these are two ports, 443 and 80: containerd from 1.7 on asks port 80 where
 * nothing listens at 443, and 1.6 asks only port 80.
 */
function schemesOf({ url, hasTlsSettings }: RegistryHost): Scheme[] {
  if (url.scheme === 'https') return [HTTPS];
  if (url.scheme !== 'http') return [];
  if (!hasTlsSettings || url.host.endsWith(':80')) return [HTTP];
  return /:\d+$/.test(url.host) ? [{ ...HTTPS, fallsBackToHttp: true }] : [HTTPS, HTTP];
}

/**
 * The registry itself. A local registry may speak plain HTTP, and its certificate is not verified.
 * containerd 1.6 asks it over http alone, later versions over https alone where it has no port or
 * 443: both are tried here.
 */
function asItself(host: RegistryHost, registry: string): RegistryHost {
  const all = { ...host, pulls: true, resolves: true };
  const url = { scheme: 'https', host: hostOf(registry), path: '/v2' };
  if (!isLocalRegistry(registry)) return { ...all, url };
  const local = { ...url, scheme: 'http' };
  if (registry.endsWith(':80')) return { ...all, url: local };
  return { ...all, url: local, skipVerify: true, hasTlsSettings: true };
}

function areSendable(headers: RegistryHost['headers']): boolean {
  try {
    for (const [name, values] of Object.entries(headers)) {
      validateHeaderName(name);
      for (const value of values) validateHeaderValue(name, value);
    }
    return true;
  } catch {
    return false;
  }
}

type Certificates = Pick<RegistryHost, 'ca' | 'client'>;

/**
 * The certificates that containerd loads from a registry's directory by itself where that holds no
 * usable hosts.toml (containerd's hosts.md): `*.crt` are CAs, `*.cert` are clients, with their key
 * in `*.key` or in the same file. The paths are absolute if the directory's is. Empty where the
 * directory cannot be read. Never rejects.
 */
async function certificatesIn(directory: string): Promise<Certificates> {
  const names = await fileNames(directory);
  const client = names
    .filter((name) => name.endsWith('.cert'))
    .map(async (name) => {
      const key = join(directory, `${name.slice(0, -'.cert'.length)}.key`);
      return { cert: join(directory, name), key: (await exists(key)) ? key : undefined };
    });
  return {
    ca: names.filter((name) => name.endsWith('.crt')).map((name) => join(directory, name)),
    client: await Promise.all(client),
  };
}

async function fileNames(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map(({ name }) => name)
      .sort();
  } catch {
    return [];
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
