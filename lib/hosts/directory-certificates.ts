import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegistryHost } from './toml/parse-hosts-toml.ts';

export type Certificates = Pick<RegistryHost, 'ca' | 'client'>;

/**
 * The certificates that containerd loads from a registry's directory by itself where that holds no
 * usable hosts.toml (docs/hosts.md): `*.crt` are CAs, `*.cert` are clients with their key in
 * `*.key` or in themselves. Absolute paths if the directory's is; empty where it cannot be read.
 * Never rejects.
 */
export async function certificatesIn(directory: string): Promise<Certificates> {
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
