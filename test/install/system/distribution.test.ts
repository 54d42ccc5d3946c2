/** Which containerd a host has, by the sockets, units and directories that it has. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  containerdSettings,
  findContainerd,
} from '../../../lib/install/containerd/find-containerd.ts';
import { distributionOfUnit } from '../../../lib/install/system/distribution.ts';

const DEFAULT = '/run/containerd/containerd.sock';
const RANCHER = '/run/k3s/containerd/containerd.sock';
const K0S = '/run/k0s/containerd.sock';
const UNITS = '/etc/systemd/system';

interface Layout {
  /** Sockets at which something accepts. */
  readonly sockets?: readonly string[];
  /** Files, and directories where they end in a slash. */
  readonly files?: readonly string[];
  readonly given?: string;
}

/** What is found on a host that is laid out so. Nothing says by which unit it runs. */
async function found(t: TestContext, { sockets = [], files = [], given }: Layout) {
  const root = await mkdtemp(join(tmpdir(), 'spegel-host-'));
  const servers: Server[] = [];
  t.after(async () => {
    for (const server of servers) server.close();
    await rm(root, { recursive: true });
  });
  for (const file of files) {
    await mkdir(join(root, file.endsWith('/') ? file : dirname(file)), { recursive: true });
    if (!file.endsWith('/')) await writeFile(join(root, file), 'After=k3s-edge.service\n');
  }
  for (const path of sockets) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    const server = createServer((socket) => socket.destroy());
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(join(root, path), resolve));
  }
  const { socket, distribution, unit, others } = await findContainerd(given, t.signal, root);
  return [socket, distribution.name, unit, others];
}

const CASES: Record<string, [Layout, unknown[]]> = {
  'nothing at all': [{}, [DEFAULT, 'containerd', 'containerd.service', []]],
  containerd: [{ sockets: [DEFAULT] }, [DEFAULT, 'containerd', 'containerd.service', []]],
  'k3s, a server': [
    { sockets: [RANCHER], files: [`${UNITS}/k3s.service`] },
    [RANCHER, 'k3s', 'k3s.service', []],
  ],
  'k3s, an agent': [
    { sockets: [RANCHER], files: [`${UNITS}/k3s-agent.service`, '/var/lib/rancher/k3s/'] },
    [RANCHER, 'k3s', 'k3s-agent.service', []],
  ],
  'rke2 by the files of its package': [
    { sockets: [RANCHER], files: ['/usr/local/lib/systemd/system/rke2-agent.service'] },
    [RANCHER, 'rke2', 'rke2-agent.service', []],
  ],
  'rke2 by its directory': [
    { sockets: [RANCHER], files: ['/var/lib/rancher/rke2/'] },
    [RANCHER, 'rke2', 'rke2-server.service', []],
  ],
  k0s: [
    { sockets: [K0S], files: [`${UNITS}/k0scontroller.service`] },
    [K0S, 'k0s', 'k0scontroller.service', []],
  ],
  'k3s that is stopped': [
    { files: [`${UNITS}/k3s-agent.service`] },
    [RANCHER, 'k3s', 'k3s-agent.service', []],
  ],
  'k3s that is stopped, and had a unit of its own name': [
    { given: RANCHER, files: [`${UNITS}/spegel.service.d/10-containerd-unit.conf`] },
    [RANCHER, 'k3s', 'k3s-edge.service', []],
  ],
  'k3s beside the socket of a containerd that is gone': [
    { sockets: [RANCHER], files: [DEFAULT, `${UNITS}/k3s.service`] },
    [RANCHER, 'k3s', 'k3s.service', []],
  ],
  'k3s beside a containerd': [
    { sockets: [DEFAULT, RANCHER], files: [`${UNITS}/k3s.service`] },
    [DEFAULT, 'containerd', 'containerd.service', [RANCHER]],
  ],
  'k3s beside a containerd, and chosen': [
    { sockets: [DEFAULT, RANCHER], files: [`${UNITS}/k3s.service`], given: RANCHER },
    [RANCHER, 'k3s', 'k3s.service', []],
  ],
  'a socket that nobody else has': [
    { given: '/run/own.sock', files: [`${UNITS}/k3s.service`] },
    ['/run/own.sock', 'containerd', 'containerd.service', []],
  ],
};
for (const [name, [layout, expected]] of Object.entries(CASES)) {
  test(`found: ${name}`, async (t) => assert.deepEqual(await found(t, layout), expected));
}

test('a unit tells the distribution, also one with a name of its own', () => {
  const units = {
    'k3s-edge.service': 'k3s',
    'rke2-server.service': 'rke2',
    'k0sworker.service': 'k0s',
    'k3sup.service': 'containerd',
    'docker.service': 'containerd',
  };
  for (const [unit, name] of Object.entries(units))
    assert.equal(distributionOfUnit(unit).name, name);
});

test('a new file of settings names the socket and the directory of what is stopped, too', async (t) => {
  const settingsOf = (unit: string, socket: string) =>
    containerdSettings(
      { socket, unit, distribution: distributionOfUnit(unit), others: [] },
      t.signal,
    );
  const none = '/nowhere/containerd.sock';
  assert.deepEqual(await settingsOf('rke2-agent.service', none), {
    CONTAINERD_SOCK: none,
    CONTAINERD_REGISTRY_CONFIG_PATH: '/var/lib/rancher/rke2/agent/etc/containerd/certs.d',
  });
  assert.deepEqual(await settingsOf('containerd.service', DEFAULT), {});
});
