/** `spegel install` and the port that systemd holds: taken over, kept, moved, given back. */
import assert from 'node:assert/strict';
import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { HOST_EXECUTABLE, spegel } from '../../lab/systemd/bare-host.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';
import { startAsking } from '../support/asking.ts';
import { addBinder, boundBy } from '../support/binder.ts';

const skip = (await labMissing()) || (await systemdMissing());

const UNIT = 'etc/systemd/system/spegel.service';
const SOCKET = 'etc/systemd/system/spegel.socket';
const ENV = 'etc/spegel/spegel.env';
/** After which containerd goes on to the upstream at once. */
const UPSTREAM = ['ECONNREFUSED', 'ECONNRESET'];

test('install and the port that systemd holds', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 0 }, t);
  const { registry } = lab.upstream;
  const host = await SystemdHost.create(lab, 'hand', { isBare: true });
  await host.addRegistry(registry);
  const kill = (stop: () => void) => t.after(stop);
  await addBinder(host);
  await host.boot();
  await host.systemctl('enable', '--now', 'containerd');
  const references = await Promise.all(
    Array.from({ length: 8 }, async (_, n) => {
      const image = await makeImage(join(lab.dir, `i${n}`), { seed: `hand${n}`, layers: 1 });
      return lab.upstream.push(image, `hand/i${n}`);
    }),
  );
  const holders = async (port: number) =>
    [...(await host.run(['ss', '-Hltnp', `sport = :${port}`])).stdout.matchAll(/\("(\w+)",pid/g)]
      .map(([, name]) => name)
      .sort();
  const install = async (executable = HOST_EXECUTABLE) => {
    const { code, stdout, stderr } = await spegel(host, 'install', { executable });
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const checked = async () => {
    const words = ['install', '--check', '--json'];
    const { stdout } = await spegel(host, ...words, { executable: '/usr/local/bin/spegel' });
    const { findings, changes } = JSON.parse(stdout);
    return {
      about: findings.map((finding: { about: string }) => finding.about),
      changes: changes.map((change: { path: string }) => change.path),
    };
  };
  const statusAt = (port: number) =>
    host.net.curl(
      '--output',
      '/dev/null',
      '--write-out',
      '%{http_code}',
      `http://127.0.0.1:${port}/v2/`,
    );
  const sayNewer = async () => {
    await host.run(['cp', HOST_EXECUTABLE, '/opt/newer']);
    await appendFile(host.path('opt/newer'), '\n');
  };
  await install();

  await t.test('over a release that held the port itself: no pull fails meanwhile', async () => {
    const text = await readFile(host.path(UNIT), 'utf8');
    await writeFile(host.path(UNIT), text.replaceAll(' spegel.socket', ''));
    await host.systemctl('daemon-reload');
    const isFree = async () => (await host.state('spegel.socket')).active === 'inactive';
    await waitUntil('nobody needs the socket', isFree);
    await rm(host.path(SOCKET));
    await host.systemctl('daemon-reload');
    await host.systemctl('restart', 'spegel', 'spegel-configuration');
    await waitUntil('it holds it itself', async () => `${await holders(5000)}` === 'spegel');
    assert.deepEqual((await checked()).changes, [`/${UNIT}`, `/${SOCKET}`]);
    const asking = startAsking(kill, host.net);
    const pulls = (async () => {
      for (const reference of references) await host.pull(reference);
    })();
    assert.match(await install(), /added .*spegel\.socket\nspegel\.service runs again/);
    await pulls;
    const { others } = await asking.stop();
    t.diagnostic(`while it was handed over: ${JSON.stringify(others)}`);
    assert.deepEqual(
      Object.keys(others).filter((other) => !UPSTREAM.includes(other)),
      [],
    );
    assert.deepEqual(await holders(5000), ['spegel', 'systemd']);
    assert.deepEqual((await checked()).changes, []);
  });

  await t.test('over one whose port systemd holds: not one connection is lost', async () => {
    await host.systemctl('start', 'binder');
    await boundBy(host);
    await sayNewer();
    const { pid } = await host.state();
    const asking = startAsking(kill, host.net);
    await sleep(500);
    await install('/opt/newer');
    await sleep(500);
    const { total, answered, others, longestMs } = await asking.stop();
    t.diagnostic(`${answered} of ${total}, the longest ${longestMs.toFixed(0)} ms`);
    assert.deepEqual([answered, others], [total, {}]);
    assert.notEqual((await host.state()).pid, pid);
    assert.ok(longestMs > 100, `nobody asked between the two: ${longestMs} ms`);
    assert.deepEqual(
      (await boundBy(host)).filter((line) => line.startsWith('got')),
      [],
    );
    await host.systemctl('stop', 'binder');
  });

  await t.test('a socket that was stopped is told by --check, and back after install', async () => {
    await host.systemctl('stop', 'spegel.socket');
    assert.deepEqual(await holders(5000), ['spegel']);
    assert.ok((await checked()).about.includes('socket'));
    assert.match(await install('/usr/local/bin/spegel'), /^spegel\.service runs/m);
    assert.deepEqual(await holders(5000), ['spegel', 'systemd']);
    assert.ok(!(await checked()).about.includes('socket'));
  });

  await t.test(
    'REGISTRY_ADDR changed, and only restarted: it serves there, and says what to run',
    async () => {
      await appendFile(host.path(ENV), 'REGISTRY_ADDR=:5055\n');
      await host.systemctl('restart', 'spegel');
      await host.untilActive();
      // Settings may still point at the former one: no answer at all would hang an old containerd.
      assert.deepEqual([await statusAt(5055), await statusAt(5000)], ['200', '404']);
      assert.match(
        await host.journal('spegel'),
        /"level":"WARN".*run 'spegel install'.*":5055","held":"\[::\]:5000"/,
      );
      assert.deepEqual((await checked()).changes, [`/${SOCKET}`]);
      await install('/usr/local/bin/spegel');
      assert.deepEqual([await holders(5055), await holders(5000)], [['spegel', 'systemd'], []]);
      assert.match(await readFile(host.path(SOCKET), 'utf8'), /^ListenStream=5055$/m);
    },
  );

  await t.test(
    'less of the same port: it answers there alone, and is moved by install',
    async () => {
      await appendFile(host.path(ENV), 'REGISTRY_ADDR=127.0.0.1:5055\n');
      await host.systemctl('restart', 'spegel');
      await host.untilActive();
      assert.equal(await statusAt(5055), '200');
      const url = `http://${host.net.address}:5055/v2/`;
      assert.equal(
        await host.net.curl('--output', '/dev/null', '--write-out', '%{http_code}', url),
        '404',
      );
      await install('/usr/local/bin/spegel');
      assert.match(
        (await host.run(['ss', '-Hltnp', 'sport = :5055'])).stdout,
        /127\.0\.0\.1:5055 .*systemd/,
      );
      assert.deepEqual(await holders(5055), ['spegel', 'systemd']);
    },
  );

  await t.test('a port that the kernel is to choose: systemd holds none', async () => {
    await appendFile(host.path(ENV), 'REGISTRY_ADDR=:0\nMIRROR_TARGETS=http://192.0.2.1:5000\n');
    assert.match(await install('/usr/local/bin/spegel'), /removed .*spegel\.socket/);
    assert.deepEqual(await holders(5055), []);
    await appendFile(host.path(ENV), 'REGISTRY_ADDR=:5000\nMIRROR_TARGETS=\n');
    assert.match(await install('/usr/local/bin/spegel'), /added .*spegel\.socket/);
    assert.deepEqual(await holders(5000), ['spegel', 'systemd']);
  });

  await t.test('uninstall gives it back, when the settings are gone', async () => {
    await host.systemctl('start', 'binder');
    await boundBy(host);
    const { code, stderr } = await spegel(host, 'uninstall', { executable: HOST_EXECUTABLE });
    assert.equal(code, 0, stderr);
    await sleep(1_500);
    const got = (await boundBy(host)).filter((line) => line.startsWith('got'));
    assert.ok(got.length > 0);
    assert.deepEqual(
      got.filter((line) => !line.includes('do not point')),
      [],
    );
    const { stdout } = await host.run(['find', '/etc', '-name', '*spegel*']);
    assert.equal(stdout, '');
  });
});
