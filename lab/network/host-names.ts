/** Names of the lab's hosts, as every host of it resolves them. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LabHost } from '../fleet/lab.ts';

/** `ip netns exec` puts what is in this directory's part for a namespace in the place of /etc. */
const NETNS_ETC = '/etc/netns';

/**
 * From now on what starts on these hosts resolves each host's name to its address of now. A second
 * call is seen by what runs already, too.
 */
export async function nameHosts(
  hosts: readonly LabHost[],
  names: readonly string[],
): Promise<void> {
  const lines = hosts.map(({ net }, index) => `${net.address} ${names[index]}\n`);
  for (const { net } of hosts) {
    const dir = join(NETNS_ETC, net.ns);
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, 'hosts'), `127.0.0.1 localhost\n${lines.join('')}`);
  }
}

/** From now on what starts on these hosts asks that name server alone. */
export async function useNameServer(hosts: readonly LabHost[], address: string): Promise<void> {
  for (const { net } of hosts) {
    const dir = join(NETNS_ETC, net.ns);
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, 'resolv.conf'), `nameserver ${address}\n`);
  }
}
