import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readSmallFile } from '../../base/read-small-file.ts';
import { ContainerdApi } from '../../containerd/api.ts';
import { ContainerdClient } from '../../containerd/client.ts';
import { NERDCTL_PATHS } from '../../hosts/search-path.ts';
import { parseHostsToml } from '../../hosts/toml/parse-hosts-toml.ts';
import { MAX_FILE_BYTES } from '../../hosts/transaction/constants.ts';
import { HOSTS_TOML } from '../../hosts/transaction/read-tree.ts';
import { MAX_REGISTRY_DIRECTORIES } from './constants.ts';
import { CONFIGURATION_UNIT, type PathsByUnit, SERVICE_UNIT } from './layout.ts';

/** Files that the services read whatever the settings are. Each may be a link. */
const ALWAYS = [
  '/etc/hosts',
  '/etc/resolv.conf',
  '/etc/nsswitch.conf',
  '/etc/host.conf',
  '/etc/gai.conf',
  '/etc/machine-id',
  '/etc/localtime',
  '/etc/passwd',
];

/** Certificates of the authorities that this host trusts. Most are links. */
const CERTIFICATES = '/etc/ssl/certs';

export interface ServicePathSettings {
  readonly pathsInSettings: PathsByUnit;
  readonly hostsPaths: readonly string[];
  readonly containerd: { readonly socket: string };
}

/**
 * Every path that a service opens by name: those in its settings, the registries and certificates
 * in these directories of hosts.toml files, and the content store of this containerd. A file that
 * cannot be read adds no path. Rejects only when `signal` is aborted.
 */
export async function servicePaths(
  { pathsInSettings, hostsPaths, containerd: { socket } }: ServicePathSettings,
  signal: AbortSignal,
): Promise<PathsByUnit> {
  const roots = [...hostsPaths, ...NERDCTL_PATHS];
  const inside = await Promise.all(roots.map(namedIn));
  const certificates = [CERTIFICATES, ...pathsIn(CERTIFICATES)];
  const both = [...ALWAYS, ...certificates, socket, ...roots, ...inside.flat()];
  return {
    [SERVICE_UNIT]: [...both, ...pathsInSettings[SERVICE_UNIT], ...(await content(socket, signal))],
    [CONFIGURATION_UNIT]: [...both, ...pathsInSettings[CONFIGURATION_UNIT]],
  };
}

/**
 * The directories of registries, which may be links, and the certificates that their files name.
 */
async function namedIn(root: string): Promise<string[]> {
  const named: string[] = [];
  for (const directory of pathsIn(root).slice(0, MAX_REGISTRY_DIRECTORIES)) {
    named.push(directory, ...pathsIn(directory), ...(await certificatesOf(directory)));
  }
  return named;
}

async function certificatesOf(directory: string): Promise<string[]> {
  const read = readSmallFile(join(directory, HOSTS_TOML), MAX_FILE_BYTES);
  const file = await read.then((text) => parseHostsToml(text, directory)).catch(() => undefined);
  if (file === undefined) return [];
  return [...file.hosts, file.server].flatMap(({ ca, client }) => [
    ...ca,
    ...client.flatMap(({ cert, key }) => [cert, key ?? cert]),
  ]);
}

function pathsIn(directory: string): string[] {
  try {
    return readdirSync(directory).map((name) => join(directory, name));
  } catch {
    return [];
  }
}

/** The directories of the content store may be links, too. */
async function content(socket: string, signal: AbortSignal): Promise<string[]> {
  const client = new ContainerdClient(socket);
  try {
    const root = await new ContainerdApi(client).contentRoot(signal);
    const parts = ['.', 'ingest', 'blobs', 'blobs/sha256', 'blobs/sha512'];
    return root === undefined ? [] : parts.map((part) => join(root, part));
  } catch {
    // Another check reports that containerd does not answer.
    signal.throwIfAborted();
    return [];
  } finally {
    client.close();
  }
}
