import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseHostsToml, type RegistryHost } from './hosts-toml.ts';
import { DEFAULT_DIRECTORY, directoryNames } from './registry-host.ts';

/** An administrator's file has a few hundred bytes; more than this is none. */
const MAX_FILE_BYTES = 1024 * 1024;

/**
 * Where containerd resolves a tag of a registry when this host's own mirror answers 404: the other hosts and the
 * `server` of its hosts.toml, as URLs. Undefined in place of a URL stands for the registry itself, which is asked
 * where there is no `server`. Directories are tried as containerd does (docs/hosts.md): the first that exists
 * counts, also without a hosts.toml. Never rejects: what cannot be read is not there.
 */
export async function upstreamUrls(
  configPath: string,
  registry: string,
  isOwn: (url: URL) => boolean,
): Promise<readonly (string | undefined)[]> {
  const text = await hostsTomlOf(configPath, registry);
  const file = text === undefined ? undefined : parseHostsToml(text);
  if (file === undefined) return [undefined];
  const others = file.hosts.filter((host) => isUsable(host, isOwn)).map(({ url }) => url);
  return [...others, file.server?.url];
}

function isUsable({ url, resolves }: RegistryHost, isOwn: (url: URL) => boolean): boolean {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  return resolves && parsed !== undefined && /^https?:$/.test(parsed.protocol) && !isOwn(parsed);
}

async function hostsTomlOf(configPath: string, registry: string): Promise<string | undefined> {
  if (configPath === '') return undefined;
  for (const name of [...directoryNames(registry), DEFAULT_DIRECTORY]) {
    const directory = join(configPath, name);
    if (!(await isDirectory(directory))) continue;
    const path = join(directory, 'hosts.toml');
    try {
      return (await stat(path)).size <= MAX_FILE_BYTES ? await readFile(path, 'utf8') : undefined;
    } catch {
      return undefined;
    }
  }
  return undefined;
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
