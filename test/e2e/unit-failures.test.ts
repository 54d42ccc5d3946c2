/**
 * The units where the daemon cannot come up: no pull meets a mirror that is not there, or somebody
 * else in its place.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { appendFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { run, waitUntil } from '../../lab/processes/exec.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';

const skip = (await labMissing()) || (await systemdMissing());

const MIRROR = '[host."http://127.0.0.1:5000"]';
const CONFIGURATION = 'spegel-configuration.service';
/** Without Spegel such a pull takes a quarter of a second. */
const MAX_PULL_MS = 10_000;
/** Accepts on Spegel's port, and says nothing: systemd does, for a service that never answers. */
const TAKER = {
  'taker.socket':
    '[Unit]\nBefore=spegel.socket\n[Socket]\nListenStream=0.0.0.0:5000\n[Install]\nWantedBy=sockets.target\n',
  'taker.service': '[Service]\nExecStart=sleep infinity\n',
};

test('the units where the daemon cannot come up', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 0 }, t);
  const { registry } = lab.upstream;
  const host = await SystemdHost.create(lab, 'down');
  await host.addRegistry(registry);
  const bare = (await host.settings())[registry]?.text;
  for (const [name, text] of Object.entries(TAKER)) {
    await writeFile(host.path('etc/systemd/system', name), text);
  }
  await host.boot();
  await host.systemctl('enable', '--now', 'containerd', 'spegel');
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'down', layers: 1, layerMiB: 4 });
  const reference = await lab.upstream.push(image, 'down/image');

  /** Waits, and tells how long it took. */
  const until = async (what: string, isSo: () => Promise<boolean>, timeoutMs = 20_000) => {
    const began = performance.now();
    await waitUntil(what, isSo, { timeoutMs, everyMs: 50 }).catch(async (error) => {
      const log = await host.journal('spegel', CONFIGURATION);
      throw new Error(`${error.message}\n${log.split('\n').slice(-40).join('\n')}`);
    });
    t.diagnostic(`${what}: after ${((performance.now() - began) / 1_000).toFixed(1)} s`);
  };
  const text = async () => (await host.settings())[registry]?.text ?? '';
  const isMirrored = async () => (await text()).includes(MIRROR);
  const isBare = async () => (await text()) === bare;
  const untilServing = async () => {
    await host.untilActive('spegel.service', 30_000);
    await host.untilActive(CONFIGURATION);
    assert.ok(await isMirrored());
  };
  const pullQuickly = async () => {
    const began = performance.now();
    await host.pull(reference);
    const ms = performance.now() - began;
    t.diagnostic(`pull: ${ms.toFixed(0)} ms`);
    assert.ok(ms < MAX_PULL_MS, `a pull took ${ms} ms`);
  };
  /** Over two more starts that fail, three seconds apart. */
  const assertStaysBare = async () => {
    for (let look = 0; look < 80; look += 1) {
      assert.ok(await isBare());
      await sleep(100);
    }
  };
  /** As the service does when they are not as wanted. */
  const askForSettings = async () => {
    const trigger = await host.outside('/run/spegel/settings-wanted');
    await writeFile(trigger, '');
    await until('it is heard', async () => !existsSync(trigger));
    const isDone = async () => (await host.state('spegel-settings.service')).active === 'inactive';
    await until('and done', isDone);
  };
  await untilServing();

  await t.test('settings that outlived a cut of the power are taken out at boot', async () => {
    await host.systemctl('enable', 'taker.socket');
    await host.cutPower();
    assert.ok(await isMirrored());
    await host.boot();
    await until('cut of the power, port taken: settings gone', isBare);
    await pullQuickly();
    await assertStaysBare();
    await host.systemctl('disable', '--now', 'taker.socket', 'taker.service');
    await until('port free again: settings back', isMirrored);
    await untilServing();
  });

  await t.test('and are back after one after which it comes up', async () => {
    await host.cutPower();
    await host.boot();
    await untilServing();
  });

  await t.test('crashed, with another process that wants its port before it is back', async () => {
    await host.systemctl('kill', '--kill-whom=main', '--signal=KILL', 'spegel');
    await assert.rejects(host.systemctl('start', 'taker.socket'));
    assert.ok(await isMirrored());
    await untilServing();
  });

  await t.test('started anew with an option that is wrong', async () => {
    const file = host.path('etc/spegel/spegel.env');
    await appendFile(file, 'REGISTRY_ADDR=nonsense\n');
    await assert.rejects(host.systemctl('restart', 'spegel'));
    await until('wrong option: settings gone', isBare);
    await assertStaysBare();
    await appendFile(file, 'REGISTRY_ADDR=:5000\n');
    await until('option corrected: settings back', isMirrored);
    await untilServing();
  });

  for (const seconds of [15, 40]) {
    await t.test(`started anew with its settings, containerd ${seconds} s away`, async () => {
      await host.systemctl('stop', 'containerd');
      await host.systemctl('restart', '--no-block', 'spegel', CONFIGURATION);
      await sleep(seconds * 1_000);
      assert.ok(await isBare());
      await host.systemctl('start', 'containerd');
      await until(`containerd back after ${seconds} s: settings back`, isMirrored);
      await untilServing();
    });
  }

  await t.test('frozen before it is ready, it is killed, and comes up', async () => {
    await host.systemctl('stop', 'containerd');
    await host.systemctl('kill', '--kill-whom=main', '--signal=KILL', 'spegel');
    const isWaiting = async () => (await host.state()).sub === 'start' && host.answers('/livez');
    await waitUntil('it waits for containerd', isWaiting);
    const { pid } = await host.state();
    await host.systemctl('kill', '--kill-whom=main', '--signal=STOP', 'spegel');
    const isKilled = async () => (await host.state()).pid !== pid;
    await until('frozen before it is ready: killed', isKilled, 12_000);
    await until('frozen before it is ready: settings gone', isBare);
    await host.systemctl('start', 'containerd');
    await untilServing();
  });

  await t.test('stopped, with a file that cannot be cleaned up: it stays stopped', async () => {
    const file = host.path('etc/containerd/certs.d', registry, 'hosts.toml');
    await run(['chattr', '+i', file]);
    try {
      await host.systemctl('stop', CONFIGURATION);
      assert.equal((await host.state(CONFIGURATION)).active, 'failed');
      await askForSettings();
      assert.equal((await host.state(CONFIGURATION)).active, 'failed');
    } finally {
      await run(['chattr', '-i', file]);
    }
    await host.systemctl('start', CONFIGURATION);
    await untilServing();
  });

  await t.test('too many files for its time: killed at once, and it says what to do', async () => {
    await host.systemctl('stop', CONFIGURATION);
    const names = Array.from({ length: 400 }, (_, n) => `r${n}.example:5000`);
    for (const name of names) await host.addRegistry(name);
    const dropIn = '/run/systemd/system/spegel-configuration.service.d/short.conf';
    await host.run(['mkdir', '-p', dirname(dropIn)]);
    await writeFile(await host.outside(dropIn), '[Service]\nTimeoutStartSec=1s\n');
    await host.systemctl('daemon-reload');
    const before = await host.journal(CONFIGURATION);
    await assert.rejects(host.systemctl('start', CONFIGURATION));
    const log = (await host.journal(CONFIGURATION)).slice(before.length);
    assert.match(log, /raise that where the disk is slow: systemctl edit spegel-configuration/);
    // A run that came to its end behind its time has added them all.
    assert.doesNotMatch(log, /added/);
    assert.ok(await isBare());
    await host.run(['rm', dropIn]);
    await host.systemctl('daemon-reload');
    await host.systemctl('reset-failed', CONFIGURATION);
    await askForSettings();
    assert.equal((await host.state(CONFIGURATION)).active, 'inactive');
    const began = performance.now();
    await host.systemctl('start', CONFIGURATION);
    t.diagnostic(`${names.length} registries: ${(performance.now() - began).toFixed(0)} ms`);
    await untilServing();
    for (const name of names) {
      await rm(host.path('etc/containerd/certs.d', name), { recursive: true });
    }
  });

  await t.test('the unit of the settings masked, it shares all the same', async () => {
    await host.systemctl('stop', CONFIGURATION);
    // As README says: 'systemctl mask' refuses to where the unit's file is in /etc.
    const control = '/etc/systemd/system.control';
    await host.run(['mkdir', '-p', control]);
    await host.run(['ln', '-s', '/dev/null', `${control}/${CONFIGURATION}`]);
    await host.systemctl('daemon-reload');
    await host.systemctl('restart', 'spegel');
    await host.untilActive();
    await sleep(1_000);
    assert.deepEqual([(await host.state()).active, await isMirrored()], ['active', false]);
    assert.match(await host.systemctl('show', '--property=LoadState', CONFIGURATION), /=masked$/m);
    await host.run(['rm', `${control}/${CONFIGURATION}`]);
    await host.systemctl('daemon-reload');
    await host.systemctl('start', CONFIGURATION);
    await untilServing();
  });
});
