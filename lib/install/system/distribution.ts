import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** A program that brings containerd to a host and decides where its files are. */
export interface Distribution {
  readonly name: 'containerd' | 'k3s' | 'rke2' | 'k0s';
  /** containerd's gRPC socket. */
  readonly socket: string;
  /** The units that may run containerd, the usual one first. */
  readonly units: readonly [string, ...string[]];
  /** Where its hosts.toml files are, unless containerd says otherwise. */
  readonly hostsPath: string;
  /** A directory that only a host with this distribution has. */
  readonly dataDirectory: string;
}

const HOSTS_PATH = '/etc/containerd/certs.d';

export const CONTAINERD: Distribution = {
  name: 'containerd',
  socket: '/run/containerd/containerd.sock',
  units: ['containerd.service'],
  hostsPath: HOSTS_PATH,
  dataDirectory: '/var/lib/containerd',
};

/** k3s and rke2 use one socket (k3s, pkg/agent/config; rke2 embeds k3s). */
const rancher = (name: 'k3s' | 'rke2', units: Distribution['units']): Distribution => ({
  name,
  socket: '/run/k3s/containerd/containerd.sock',
  units,
  hostsPath: `/var/lib/rancher/${name}/agent/etc/containerd/certs.d`,
  dataDirectory: `/var/lib/rancher/${name}`,
});

/** Where several of them run, the first one is chosen. */
export const DISTRIBUTIONS: readonly Distribution[] = [
  CONTAINERD,
  rancher('k3s', ['k3s.service', 'k3s-agent.service']),
  rancher('rke2', ['rke2-server.service', 'rke2-agent.service']),
  {
    name: 'k0s',
    socket: '/run/k0s/containerd.sock',
    units: ['k0sworker.service', 'k0scontroller.service'],
    hostsPath: HOSTS_PATH,
    dataDirectory: '/var/lib/k0s',
  },
];

/** Where systemd looks for system units (systemd.unit(5)). */
const UNIT_DIRECTORIES = [
  '/etc/systemd/system',
  '/run/systemd/system',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
  '/lib/systemd/system',
];

/**
 * The unit of this distribution that is installed; undefined: none. `root`: the root directory of
 * the host.
 */
export function installedUnit({ units }: Distribution, root = '/'): string | undefined {
  return units.find((unit) =>
    UNIT_DIRECTORIES.some((directory) => existsSync(join(root, directory, unit))),
  );
}

/**
 * The distribution that a unit belongs to. The unit may have a name of its own, such as
 * `k3s-edge.service`.
 */
export function distributionOfUnit(unit: string): Distribution {
  const [, name] = /^(k3s|rke2|k0s)(?:worker|controller)?(?:-.*)?\.service$/.exec(unit) ?? [];
  return DISTRIBUTIONS.find((one) => one.name === name) ?? CONTAINERD;
}

/**
 * The distribution that a socket belongs to. Several share a socket: where no process tells which
 * one it is, the installed units and data directories decide.
 */
export function distributionOfSocket(socket: string, root = '/'): Distribution {
  const candidates = DISTRIBUTIONS.filter((one) => one.socket === socket);
  return (
    candidates.find((one) => installedUnit(one, root) !== undefined) ??
    candidates.find(({ dataDirectory }) => existsSync(join(root, dataDirectory))) ??
    candidates[0] ??
    CONTAINERD
  );
}

/** Whether containerd is a part of it: k3s and rke2 start it, with an environment of their own. */
export function isRancher({ name }: Pick<Distribution, 'name'>): boolean {
  return name === 'k3s' || name === 'rke2';
}
