/**
 * Up from the release before, and back to it, on a real systemd with a real containerd that pulls
 * all the time.
 */
import assert from 'node:assert/strict';
import { appendFile, cp, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { FORMER_EXECUTABLE, formerMissing } from '../../lab/programs/former-release.ts';
import { HOST_EXECUTABLE, listing, spegel } from '../../lab/systemd/bare-host.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';
import { PullLoop, pushImages } from '../support/pull-loop.ts';

const skip = (await labMissing()) || (await systemdMissing()) || (await formerMissing());
/** Where the older executable lies on the host. */
const FORMER = '/opt/former';
const INSTALLED = '/usr/local/bin/spegel';
/** All but the daemon works. */
const BROKEN = '#!/bin/sh\\n[ "$1" != registry ] || exit 1\\nexec /opt/spegel "$@"\\n';
const DATA = 'var/lib/private/spegel';
/** What the older release does not know, and does not use either. */
const UNUSED = new Set(
  ['spegel.socket', 'spegel-settings.path', 'spegel-settings.service'].map(
    (unit) => `/etc/systemd/system/${unit}`,
  ),
);
/** A layer of the larger images takes longer than a restart. */
const LINK = '100mbit';

/** Runs `install` of that executable while pulls run, before it, meanwhile and after it. */
async function installDuringPulls(
  t: TestContext,
  host: SystemdHost,
  images: readonly (readonly string[])[],
  executable: string,
): Promise<string> {
  const loops = images.map((references) => new PullLoop(host, references));
  try {
    await Promise.all(loops.map((loop) => loop.until(2)));
    const { code, stdout, stderr } = await spegel(host, 'install', { executable });
    assert.equal(code, 0, code === 0 ? '' : stdout + stderr + (await lastWords(host)));
    await Promise.all(loops.map((loop) => loop.until(2)));
    return stdout;
  } finally {
    const ends = await Promise.all(loops.map((loop) => loop.stop()));
    t.diagnostic(`${ends.map(({ pulled, longestMs }) => `${pulled} pulls, ${longestMs} ms`)}`);
    assert.deepEqual(
      ends.flatMap(({ failures }) => failures),
      [],
    );
  }
}

async function lastWords(host: SystemdHost): Promise<string> {
  return (await host.journal('spegel', 'spegel-configuration')).slice(-8_000);
}

/** The service runs that executable, is ready, holds the port, and containerd is told to ask it. */
async function assertRuns(host: SystemdHost, executable: string, registry: string): Promise<void> {
  await host.untilActive('spegel-configuration.service');
  const { active, pid, restarts } = await host.state();
  assert.deepEqual([active, restarts], ['active', 0], restarts === 0 ? '' : await lastWords(host));
  const file = host.path(executable.slice(1));
  const installed = host.path('usr/local/bin/spegel');
  assert.ok((await readFile(installed)).equals(await readFile(file)), 'another executable');
  assert.ok(pid > 0 && (await host.answers('/readyz')));
  assert.match((await host.settings())[registry]?.text ?? '', /127\.0\.0\.1:5000/);
}

/** Units of ours that systemd has loaded, without those that it merely remembers. */
async function unitsOf(host: SystemdHost): Promise<string[]> {
  const words = ['list-units', '--all', '--plain', '--no-legend', 'spegel*'];
  const lines = (await host.systemctl(...words)).trim().split('\n').filter(Boolean);
  return lines.filter((line) => / active /.test(line)).map((line) => line.split(/\s+/)[0] ?? '');
}

async function peerIdOf(host: SystemdHost, peer: LabHost): Promise<string> {
  const flags = ['--output', '/dev/null', '--dump-header', '-'];
  const headers = await peer.net.curl(...flags, `http://${host.net.address}:5000/v2/`);
  return /^x-spegel-peer: (\S+)/im.exec(headers)?.[1] ?? '';
}

test('up and back again with pulls running', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 }, t);
  const peer = lab.host(0);
  const { registry } = lab.upstream;
  const host = await SystemdHost.create(lab, 'roll', { isBare: true });
  await host.addRegistry(registry);
  await cp(FORMER_EXECUTABLE, host.path(FORMER));
  await lab.startSpegel({ bootstrap: [host.net.address] });
  const images = [
    await pushImages(lab, 'small', 6, { layers: 2, layerMiB: 1 }),
    await pushImages(lab, 'large', 2, { layers: 1, layerMiB: 32 }),
  ];
  for (const reference of images.flat()) await peer.containerd.pull(reference);
  await host.net.rate(LINK);
  await host.boot();
  await host.systemctl('enable', '--now', 'containerd');
  const bare = await listing(host);
  const peers = `--static-bootstrap-peers=${peer.address}:5001`;
  const first = await spegel(host, 'install', peers, { executable: FORMER });
  assert.equal(first.code, 0, first.stderr);
  await assertRuns(host, FORMER, registry);
  const identity = await peerIdOf(host, peer);
  assert.match(identity, /^12D3/);
  const former = await listing(host);

  await t.test('up: no pull fails', async (t) => {
    const stdout = await installDuringPulls(t, host, images, HOST_EXECUTABLE);
    assert.match(stdout, /spegel\.service runs again/);
    await assertRuns(host, HOST_EXECUTABLE, registry);
    assert.ok((await unitsOf(host)).includes('spegel-settings.path'), 'the settings stay');
    assert.equal(await peerIdOf(host, peer), identity);
    const check = await spegel(host, 'install', '--check');
    t.diagnostic(`${check.code} ${check.stdout}${check.stderr}`);
  });

  await t.test('back: no pull fails, and what this release wrote is in no way', async (t) => {
    const stdout = await installDuringPulls(t, host, images, FORMER);
    assert.match(stdout, /spegel\.service runs again/);
    await assertRuns(host, FORMER, registry);
    assert.equal(await peerIdOf(host, peer), identity);
    const units = ['spegel-configuration.service', 'spegel.service'];
    assert.deepEqual((await unitsOf(host)).sort(), units);
    assert.equal(await host.systemctl('list-units', '--failed', '--no-legend'), '');
    const left = await addedSince(host, former);
    t.diagnostic(`left by this release: ${left}`);
    const strange = left.filter((path) => !UNUSED.has(path) && dirname(path) !== `/${DATA}`);
    assert.deepEqual(strange, [], 'what does the older release do with it?');
  });

  await t.test('back, and booted anew: the older one comes up by itself', async () => {
    await host.powerOff();
    await host.boot();
    await host.untilActive();
    await assertRuns(host, FORMER, registry);
  });

  await t.test('state files of another release are no reason to fail', async () => {
    await writeStrangeState(host);
    await host.systemctl('restart', 'spegel');
    await assertRuns(host, FORMER, registry);
    await writeStrangeState(host);
    assert.equal((await spegel(host, 'install')).code, 0);
    await assertRuns(host, HOST_EXECUTABLE, registry);
    assert.equal(await peerIdOf(host, peer), identity);
  });

  await t.test('back from one that does not come up', async (t) => {
    await host.run([
      'sh',
      '-c',
      `rm ${INSTALLED}; printf '${BROKEN}' >${INSTALLED}; chmod 755 ${INSTALLED}`,
    ]);
    const loop = new PullLoop(host, images[0] ?? []);
    try {
      await host.systemctl('--no-block', 'restart', 'spegel');
      const hasFailed = async () => (await host.journal('spegel')).includes('status=1/FAILURE');
      await waitUntil('it has failed', hasFailed, { timeoutMs: 30_000 });
      await loop.until(2);
      const { code, stderr } = await spegel(host, 'install', { executable: FORMER });
      t.diagnostic(`${code} ${stderr}`);
      if (code !== 0) {
        // While systemd has the port for a service that is not there, the older one takes it for
        // another program's.
        assert.match(stderr, /expected port 5000 to be free .* stop what has it/);
        await host.systemctl('stop', 'spegel');
        assert.equal((await spegel(host, 'install', { executable: FORMER })).code, 0);
      }
      await loop.until(2);
    } finally {
      assert.deepEqual((await loop.stop()).failures, []);
    }
    assert.ok(await host.answers('/readyz'));
  });

  await t.test('nothing is left of either after uninstall', async () => {
    const { code, stderr } = await spegel(host, 'uninstall', '--purge');
    assert.equal(code, 0, stderr);
    assert.equal(await listing(host), bare);
    const isForgotten = async () => (await unitsOf(host)).length === 0;
    await waitUntil('systemd knows no unit of ours', isForgotten);
  });

  await t.test('installed anew, taken back, and removed by the older one', async () => {
    for (const executable of [HOST_EXECUTABLE, FORMER]) {
      const { code, stderr } = await spegel(host, 'install', peers, { executable });
      assert.equal(code, 0, stderr);
      await assertRuns(host, executable, registry);
    }
    const { code, stderr } = await spegel(host, 'uninstall', '--purge', { executable: FORMER });
    assert.equal(code, 0, stderr);
    const left = await addedSince(host, bare);
    assert.deepEqual(
      left.filter((path) => !UNUSED.has(path)),
      [],
    );
    assert.deepEqual(await unitsOf(host), []);
    await assert.rejects(host.net.curl('http://127.0.0.1:5000/v2/'), 'somebody has the port');
    assert.equal((await spegel(host, 'uninstall', '--purge')).code, 0);
    assert.equal(await listing(host), bare);
  });

  await t.test('back with another port: the older one says which line it needs', async () => {
    assert.equal((await spegel(host, 'install', peers)).code, 0);
    await appendFile(host.path('etc/spegel/spegel.env'), 'REGISTRY_ADDR=:5050\n');
    const changed = await spegel(host, 'install');
    assert.equal(changed.code, 0, changed.stderr);
    assert.match((await host.settings())[registry]?.text ?? '', /127\.0\.0\.1:5050/);
    const back = await spegel(host, 'install', { executable: FORMER });
    assert.equal(back.code, 0, back.stderr);
    // It does not know that one follows from the other.
    assert.match(back.stderr, /^ +MIRROR_TARGETS=http:\/\/127\.0\.0\.1:5050$/m);
    const [small = ''] = images[0] ?? [];
    await host.pull(small);
    await host.run(['ctr', 'images', 'rm', '--sync', small]);
    assert.equal((await spegel(host, 'uninstall', '--purge')).code, 0);
    assert.equal(await listing(host), bare);
  });
});

async function writeStrangeState(host: SystemdHost): Promise<void> {
  for (const [file, text] of [
    ['peers.json', '{"version":99,"peers":{}}'],
    ['suspects.json', '{"version":99,"records":[[['],
    ['of-a-later-release.json', '\0'],
  ] as const) {
    await writeFile(host.path(DATA, file), text);
  }
}

/** Paths that were not there when that listing was made. */
async function addedSince(host: SystemdHost, before: string): Promise<string[]> {
  const pathsIn = (text: string) => text.split('\n').map((line) => line.split(' ')[2] ?? '');
  const was = new Set(pathsIn(before));
  return pathsIn(await listing(host)).filter((path) => !was.has(path));
}
