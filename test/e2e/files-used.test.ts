/**
 * Which files the daemon and the settings' commands open: those that docs/security.md lists, and no
 * other. What each unit hides rests on that list.
 */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeHostsToml } from '../../lab/containerd/hosts-toml.ts';
import { EXECUTABLE } from '../../lab/executable.ts';
import { blobPath, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { provisionStrace, traced, usesIn } from '../../lab/programs/strace.ts';

const strace = await provisionStrace();
const skip = (await labMissing()) || (typeof strace === 'object' && strace.missing);
const program = String(strace);

const SECURITY = join(import.meta.dirname, '../../docs/security.md');

/** A row: whose access it is about is in the second and third column. */
interface Row {
  readonly patterns: readonly RegExp[];
  readonly daemon: string;
  readonly settings: string;
}

/**
 * The rows of the table. A path that ends with a slash means all below it, too; `*` any text in a
 * name.
 */
async function listed(): Promise<Row[]> {
  const text = await readFile(SECURITY, 'utf8');
  const [, table = ''] = /^\| file \|.*\n\|[-|]+\n((?:\|.*\n)+)/m.exec(text) ?? [];
  return table
    .trim()
    .split('\n')
    .map((line) => {
      const [, files = '', daemon = '', settings = ''] = line.split('|').map((cell) => cell.trim());
      const paths = [...files.matchAll(/`(\/[^`]*)`/g)].map(([, path = '']) => path);
      return { patterns: paths.map(patternOf), daemon, settings };
    });
}

function patternOf(path: string): RegExp {
  const text = path.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*');
  return new RegExp(text.endsWith('/') ? `^${text.slice(0, -1)}(?:/|$)` : `^${text}$`);
}

test('the files that are opened are those of the list', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2 }, t);
  const [host, peer] = [lab.host(0), lab.host(1)];
  const { registry } = lab.upstream;
  const log = (name: string) => join(host.dir, `${name}.strace`);
  // containerd's own directory has the mirror in it already.
  const hostsDir = join(host.dir, 'etc/certs.d');
  const own = join(host.dir, 'own');
  await writeHostsToml(hostsDir, { registry, mirrors: [] });
  await mkdir(join(own, 'basic-auth'), { recursive: true });
  await writeFile(join(own, 'basic-auth/username'), 'me');
  await writeFile(join(own, 'basic-auth/password'), 'secret');
  await writeFile(join(own, 'peers'), `${peer.address}:5001\n`);
  const content = join(host.containerd.root, 'io.containerd.content.v1.content');
  /** Where a path of the lab is on a host that has everything in its place. */
  const places = [
    [`${host.spegel.dataDir}`, '/var/lib/spegel'],
    [join(own, 'basic-auth'), '/etc/secrets/basic-auth'],
    [own, '/etc/spegel'],
    [join(host.dir, 'etc'), '/etc/containerd'],
    [content, '/var/lib/containerd/io.containerd.content.v1.content'],
    [EXECUTABLE, '/usr/local/bin/spegel'],
  ] as const;
  const placed = (path: string) => {
    const place = places.find(([there]) => path === there || path.startsWith(`${there}/`));
    return place === undefined ? path : place[1] + path.slice(place[0].length);
  };
  const rows = await listed();
  /** What it did that its column does not allow. */
  const outside = async (name: string, column: 'daemon' | 'settings') => {
    const uses = (await usesIn(log(name))).map((use) => ({ ...use, path: placed(use.path) }));
    assert.ok(uses.length > 20, 'strace saw the program');
    const isListed = ({ path, writes }: (typeof uses)[number]) =>
      rows.some(
        ({ patterns, [column]: may }) =>
          patterns.some((pattern) => pattern.test(path)) &&
          (may === 'writes' || (may === 'reads' && !writes)),
      );
    const not = uses.filter((use) => !isListed(use));
    return {
      uses,
      not: [...new Set(not.map(({ path, writes }) => `${path}${writes ? ' (writes)' : ''}`))],
    };
  };
  const flags = [`--containerd-registry-config-path=${hostsDir}`, '--log-level=WARN'];

  await t.test('the daemon, while it meets peers, pulls, and serves', async () => {
    await peer.spegel.start({
      containerdSocket: peer.containerd.socket,
      bootstrap: [host.address],
    });
    await host.spegel.start({
      containerdSocket: host.containerd.socket,
      hostsDir,
      program: [...traced(program, log('registry')), EXECUTABLE],
      flags: {
        'bootstrap-kind': 'static,dns,mdns',
        'static-bootstrap-peers-file': join(own, 'peers'),
        'dns-bootstrap-domain': 'localhost',
      },
    });
    const image = await makeImage(join(lab.dir, 'image'), {
      seed: 'files',
      layers: 2,
      layerMiB: 2,
    });
    await lab.upstream.push(image, 'files/used');
    const tag = `${registry}/files/used:v1`;
    await host.containerd.pull(tag);
    await untilFound(lab, host, 'files/used', image);
    await peer.containerd.pull(tag);
    await host.spegel.get(
      blobPath(lab, 'files/used', image.manifests[0]?.config.digest ?? ''),
      '--fail',
    );
    await host.spegel.stop();
    await waitUntil('it has ended', async () => !host.spegel.running);
    // That was strace: the daemon itself may end later, and holds its port until then.
    await waitUntil('its port is free', () =>
      host.spegel.get('/', '--max-time', '2').then(
        () => false,
        () => true,
      ),
    );
    const { uses, not } = await outside('registry', 'daemon');
    assert.ok(
      uses.some(({ path }) => path.startsWith('/var/lib/containerd/')),
      'content was read',
    );
    assert.deepEqual(not, []);
  });

  await t.test('configuration and cleanup', async () => {
    const configuration = [
      'configuration',
      ...flags,
      `--containerd-sock=${host.containerd.socket}`,
      `--basic-auth-path=${join(own, 'basic-auth')}`,
    ];
    await host.net.run([...traced(program, log('configuration')), EXECUTABLE, ...configuration]);
    await host.net.run([...traced(program, log('cleanup')), EXECUTABLE, 'cleanup', ...flags]);
    const written = await outside('configuration', 'settings');
    assert.ok(written.uses.some(({ path, writes }) => writes && path.endsWith('/hosts.toml')));
    assert.deepEqual(written.not, []);
    assert.deepEqual((await outside('cleanup', 'settings')).not, []);
  });
});
