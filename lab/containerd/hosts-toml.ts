/** certs.d entries as an administrator (or `spegel configuration`) would write them. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where containerd is told to look first: the daemon on its own host. */
export const LOCAL_MIRROR = 'http://127.0.0.1:5000';

export interface HostsToml {
  /** As in references: "10.87.1.2:5000", "docker.io", or "_default". */
  readonly registry: string;
  /** Asked in this order before the upstream. Default: the daemon on this host. */
  readonly mirrors?: readonly string[];
  /** Default: the registry itself over http, as the lab's upstream speaks. null: no server line. */
  readonly server?: string | null;
  /** Understood from containerd 2.0.7 and 2.1.0 on, ignored before. */
  readonly dialTimeout?: string;
}

export function hostsToml(entry: HostsToml): string {
  const server = entry.server === undefined ? `http://${entry.registry}` : entry.server;
  const lines = server === null ? [] : [`server = "${server}"`];
  for (const mirror of entry.mirrors ?? [LOCAL_MIRROR]) {
    lines.push('', `[host."${mirror}"]`, 'capabilities = ["pull", "resolve"]');
    if (entry.dialTimeout) lines.push(`dial_timeout = "${entry.dialTimeout}"`);
  }
  return `${lines.join('\n')}\n`;
}

export async function writeHostsToml(hostsDir: string, entry: HostsToml): Promise<void> {
  const dir = join(hostsDir, entry.registry);
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'hosts.toml'), hostsToml(entry));
}
