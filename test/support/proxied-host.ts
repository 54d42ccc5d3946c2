/** A host with systemd whose containerd has a proxy or none, and what its daemon logs of that. */
import { mkdir, writeFile } from 'node:fs/promises';
import { waitUntil } from '../../lab/processes/exec.ts';
import type { SystemdHost } from '../../lab/systemd/systemd-host.ts';

/** containerd's configuration, with which nothing is to be said of its config_path. */
export const containerdConfig = (socket = '/run/containerd/containerd.sock') => `version = 3
[grpc]
  address = "${socket}"
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "/etc/containerd/certs.d"
`;

export async function writeContainerdConfig(host: SystemdHost): Promise<void> {
  await mkdir(host.path('etc/containerd'), { recursive: true });
  await writeFile(host.path('etc/containerd/config.toml'), containerdConfig());
}

/** The drop-in of containerd's unit, for its next start. */
export async function setProxy(host: SystemdHost, lines: string): Promise<void> {
  await host.override('containerd.service', `[Service]\n${lines}\n`);
  await host.systemctl('daemon-reload');
}

/** Which proxy the daemon's lines with this message named since the boot. */
export async function told(host: SystemdHost, msg: string): Promise<string[]> {
  const lines = (await host.journal('spegel')).split('\n');
  return lines.filter((line) => line.includes(`"${msg}"`)).map((line) => JSON.parse(line).proxy);
}

/** Waits until the last line of the daemon with this message names that proxy. */
export async function untilTold(host: SystemdHost, msg: string, proxy: string): Promise<void> {
  const isTold = async () => (await told(host, msg)).at(-1) === proxy;
  await waitUntil(`${msg}: ${proxy}`, isTold);
}
