import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { hostUrl } from './toml/host-url.ts';
import { DEFAULT_DIRECTORY, hostOf, isLocalRegistry } from './toml/registry-name.ts';
import { LeftAlone, type Meaning } from './toml/semantics.ts';
import type { AdministratorsDirectory } from './transaction/change.ts';

type Table = Readonly<Record<string, unknown>>;

/** It would do, were it known that no containerd before 2.0 reads the file. */
export class WouldActivate extends LeftAlone {}

interface Woken extends Pick<AdministratorsDirectory, 'registry' | 'certificates'> {
  /** Absolute path of what the file is in. */
  readonly directory: string;
}

/**
 * containerd 1.x rejects a hosts.toml without `host` and asks the registry itself, with the
 * certificates beside the file. A block of ours makes it read the rest of the file as well: throws
 * WouldActivate where that says something else. `given`: the URL by which the user named the registry.
 */
export function refuseActivation(
  { root, hosts }: Meaning,
  view: Woken,
  given: string | undefined,
): void {
  if (hosts !== undefined) return;
  const table = Object.fromEntries(
    Object.entries(root).map(([key, value]) => [key.toLowerCase(), value]),
  );
  const woken = wokenKeys(table, view, given);
  if (woken.length === 0) return;
  const server = typeof table.server === 'string' && table.server !== '' ? table.server : undefined;
  const remedy = `add a [host."${server ?? `https://${hostOf(view.registry)}`}"] to it`;
  throw new WouldActivate(
    `it has no [host."…"], so containerd 1.x does not read it; our block would put its ${woken.join(', ')} in force there; ${remedy} if that is meant, or say --containerd-version 2 if no older one reads it`,
  );
}

function wokenKeys(table: Table, view: Woken, given: string | undefined): string[] {
  const { server, skip_verify: skipVerify } = table;
  const isLocalOne = isLocalRegistry(view.registry);
  const isServerSaid = typeof server === 'string' && server !== '';
  return [
    ...(isServerSaid && !isItself(table, view.registry, given) ? ['server'] : []),
    ...(isServerSaid && !doesAll(table.capabilities) ? ['capabilities'] : []),
    ...(isLoadedAnyway(table.ca, view.certificates.ca, view) ? [] : ['ca']),
    ...(isLoadedAnyway(table.client, view.certificates.client, view) ? [] : ['client']),
    ...(skipVerify === true || (skipVerify === false && isLocalOne) ? ['skip_verify'] : []),
    ...(table.header === undefined ? [] : ['header']),
  ];
}

/**
 * Whether `server` is what is asked without it. Of a local registry that depends on the version.
 */
function isItself({ server, override_path }: Table, registry: string, given: string | undefined) {
  const url = hostUrl(`${server}`, override_path === true);
  const isSame = (scheme: string) =>
    isDeepStrictEqual(url, { scheme, host: hostOf(registry), path: '/v2' });
  if (registry === DEFAULT_DIRECTORY) return false;
  return given === undefined
    ? isSame('https') && !isLocalRegistry(registry)
    : isSame(given.split(':')[0] ?? '');
}

function doesAll(capabilities: unknown): boolean {
  const given = Array.isArray(capabilities)
    ? capabilities.map((one) => `${one}`.toLowerCase())
    : [];
  return given.length === 0 || ['pull', 'resolve', 'push'].every((one) => given.includes(one));
}

/** Whether these paths are the files beside it, which containerd 1.x loads by itself. */
function isLoadedAnyway(said: unknown, beside: unknown, { directory }: Woken): boolean {
  if (said === undefined) return true;
  return isDeepStrictEqual(inOrder(said, directory), inOrder(beside, directory));
}

/** Absolute; a certificate without its key has that in itself. */
function inOrder(paths: unknown, directory: string): string[] {
  const all = Array.isArray(paths) ? paths : [paths ?? []].flat();
  const lines = all.map((one) => {
    const [cert, key = cert] = [one].flat().map((path) => resolve(directory, `${path}`));
    return `${cert}\n${key}`;
  });
  return lines.sort();
}
