import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { hostUrl } from './toml/host-url.ts';
import { LeftAlone } from './toml/left-alone.ts';
import { DEFAULT_DIRECTORY, hostOf, isLocalRegistry } from './toml/registry-name.ts';
import type { Meaning } from './toml/semantics.ts';
import type { AdministratorsDirectory } from './transaction/change.ts';

type Table = Readonly<Record<string, unknown>>;

/** Thrown where our block is harmless as long as no containerd before 2.0 reads the file. */
export class WouldActivate extends LeftAlone {}

interface ActivatedDirectory extends Pick<AdministratorsDirectory, 'registry' | 'certificates'> {
  /** Absolute path of the directory of the file. */
  readonly path: string;
}

/**
 * containerd 1.x rejects a hosts.toml without `host` and asks the registry itself, with the
 * certificates beside the file. Our block makes it read the rest of the file as well. Throws
 * WouldActivate where that rest says something else than what containerd 1.x does without it.
 * `given`: the URL by which the user named the registry.
 */
export function refuseActivation(
  { root, hosts }: Meaning,
  directory: ActivatedDirectory,
  given: string | undefined,
): void {
  if (hosts !== undefined) return;
  const table = Object.fromEntries(
    Object.entries(root).map(([key, value]) => [key.toLowerCase(), value]),
  );
  const activated = activatedKeys(table, directory, given);
  if (activated.length === 0) return;
  const server = typeof table.server === 'string' && table.server !== '' ? table.server : undefined;
  const remedy = `add a [host."${server ?? `https://${hostOf(directory.registry)}`}"] to it`;
  throw new WouldActivate(
    `it has no [host."…"], so containerd 1.x does not read it; our block would put its ${activated.join(', ')} in force there; ${remedy} if that is meant, or say --containerd-version 2 if no older one reads it`,
  );
}

function activatedKeys(
  table: Table,
  directory: ActivatedDirectory,
  given: string | undefined,
): string[] {
  const { server, skip_verify: skipVerify } = table;
  const isLocalOne = isLocalRegistry(directory.registry);
  const isServerSaid = typeof server === 'string' && server !== '';
  return [
    ...(isServerSaid && !isRegistryItself(table, directory.registry, given) ? ['server'] : []),
    ...(isServerSaid && !hasAllCapabilities(table.capabilities) ? ['capabilities'] : []),
    ...(isLoadedAnyway(table.ca, directory.certificates.ca, directory) ? [] : ['ca']),
    ...(isLoadedAnyway(table.client, directory.certificates.client, directory) ? [] : ['client']),
    ...(skipVerify === true || (skipVerify === false && isLocalOne) ? ['skip_verify'] : []),
    ...(table.header === undefined ? [] : ['header']),
  ];
}

/**
 * Whether `server` is the host that containerd asks without it. For a local registry that depends
 * on the version.
 */
function isRegistryItself(
  { server, override_path }: Table,
  registry: string,
  given: string | undefined,
) {
  const url = hostUrl(`${server}`, override_path === true);
  const isSame = (scheme: string) =>
    isDeepStrictEqual(url, { scheme, host: hostOf(registry), path: '/v2' });
  if (registry === DEFAULT_DIRECTORY) return false;
  return given === undefined
    ? isSame('https') && !isLocalRegistry(registry)
    : isSame(given.split(':')[0] ?? '');
}

function hasAllCapabilities(capabilities: unknown): boolean {
  const given = Array.isArray(capabilities)
    ? capabilities.map((one) => `${one}`.toLowerCase())
    : [];
  return given.length === 0 || ['pull', 'resolve', 'push'].every((one) => given.includes(one));
}

/**
 * Whether these paths are the files beside the hosts.toml, which containerd 1.x loads by itself.
 */
function isLoadedAnyway(said: unknown, beside: unknown, { path }: ActivatedDirectory): boolean {
  if (said === undefined) return true;
  return isDeepStrictEqual(sortedPaths(said, path), sortedPaths(beside, path));
}

/** Absolute paths, sorted. A certificate without a key file holds its key itself. */
function sortedPaths(paths: unknown, directory: string): string[] {
  const all = Array.isArray(paths) ? paths : [paths ?? []].flat();
  const lines = all.map((one) => {
    const [cert, key = cert] = [one].flat().map((path) => resolve(directory, `${path}`));
    return `${cert}\n${key}`;
  });
  return lines.sort();
}
