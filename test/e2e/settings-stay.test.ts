/** The mirror settings stay, whatever writes where they are: on a real systemd and containerd. */
import assert from 'node:assert/strict';
import { appendFile, chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { run, waitUntil } from '../../lab/processes/exec.ts';
import { spegel } from '../../lab/systemd/bare-host.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';
import { PullLoop, pushImages } from '../support/pull-loop.ts';

const skip = (await labMissing()) || (await systemdMissing());

const INSTALLED = { executable: '/usr/local/bin/spegel' };
const MIRROR = '[host."http://127.0.0.1:5000"]';
const CONFIGURATION = 'spegel-configuration.service';
const UNITS = ['spegel.service', 'spegel-settings.path', 'spegel.socket', CONFIGURATION];
const CERTS = 'etc/containerd/certs.d';
/** "Within seconds": a second of quiet, a look of a third, systemd and a write. */
const SOON_MS = 8_000;
const CHANGED = 'the mirror settings are not as wanted';
const AGAIN = 'the mirror settings are as wanted again';
const FIGHT = 'changed again: another program writes there';
const FAILED = 'could not be put back';
const BLOCK = /^# >>> spegel[\s\S]*^# <<< spegel\n/m;

test('the mirror settings stay', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 0 }, t);
  const { registry } = lab.upstream;
  const images = await pushImages(lab, 'stay', 4, { layers: 1, layerMiB: 2 });
  const host = await SystemdHost.create(lab, 'stay');
  const own = `server = "http://${registry}"\n\n[host."http://${registry}"]\n`;
  const addRegistry = async () => {
    await mkdir(host.path(CERTS, registry), { recursive: true });
    await writeFile(host.path(CERTS, registry, 'hosts.toml'), own);
  };
  await addRegistry();
  // What is asked while the registry's own directory is away comes by this one, also without us.
  const byDefault = async () => {
    const url = `http://${registry}`;
    await mkdir(host.path(CERTS, '_default'), { recursive: true });
    await writeFile(host.path(CERTS, '_default/hosts.toml'), `[host."${url}"]\n`);
  };
  await byDefault();
  // As k3s and rke2 have it: nobody but root gets in, and the service, which is not root.
  await chmod(host.path('etc/containerd'), 0o700);
  await host.boot();
  const file = (name: string) => host.path(CERTS, name, 'hosts.toml');
  const textOf = async (name = registry) => {
    const settings = await host.settings().catch(() => undefined);
    return settings?.[name]?.text ?? '';
  };
  /** What is in a file beside our block. */
  const restOf = async () => (await textOf()).replace(BLOCK, '');
  const isMirrored = async (name = registry) => (await textOf(name)).includes(MIRROR);
  const until = async (what: string, isSo: () => Promise<boolean>, timeoutMs = SOON_MS) => {
    const began = performance.now();
    await waitUntil(what, isSo, { timeoutMs, everyMs: 50 }).catch(async (error) => {
      const log = await host.journal('spegel', CONFIGURATION);
      throw new Error(`${error.message}\n${log.split('\n').slice(-30).join('\n')}`);
    });
    t.diagnostic(`${what}: after ${((performance.now() - began) / 1_000).toFixed(1)} s`);
  };
  const metric = (state: string) => host.metric('spegel_mirror_settings', `state="${state}"`);
  const untilSaid = async (text: string) => {
    const times = await host.linesWith(text);
    const isSaid = async () => (await host.linesWith(text)) > times;
    return () => until(`said: ${text}`, isSaid, 40_000);
  };
  /** A new life of the service, in which nobody has fought yet. */
  const anew = async () => {
    await host.systemctl('restart', 'spegel');
    await host.untilActive();
    await host.untilActive(CONFIGURATION);
    // What the life before left to be put back is back, too.
    await until('metrics', async () => (await metric('present')) > 0 && !(await metric('absent')));
  };
  await host.systemctl('enable', '--now', 'containerd', 'spegel');
  await host.untilActive();
  await host.untilActive(CONFIGURATION);
  await until('they are seen', async () => (await metric('present')) === 2);

  await t.test(
    'a file is written anew by another program: back, with all that it wrote',
    async () => {
      const saidAgain = await untilSaid(AGAIN);
      const said = await host.linesWith(CHANGED);
      await writeFile(file(registry), `${own}# of the other program\n`);
      await until('block back', isMirrored);
      await saidAgain();
      assert.equal(await host.linesWith(CHANGED), said + 1);
      assert.equal((await restOf()).trim(), `${own}# of the other program`);
      assert.deepEqual(
        await Promise.all(['present', 'absent', 'left_alone', 'failed'].map(metric)),
        [2, 0, 0, 0],
      );
    },
  );

  await t.test('a line beside the block is nobody’s business', async () => {
    await anew();
    await appendFile(file(registry), '# a note\n');
    await sleep(3_000);
    assert.ok((await isMirrored()) && (await restOf()).endsWith('# a note\n'));
    assert.equal(await metric('absent'), 0);
  });

  await t.test('a registry gets a directory of its own, which hides _default', async () => {
    await mkdir(host.path(CERTS, 'new.example'));
    await until('block in it', () => isMirrored('new.example'));
    await rm(host.path(CERTS, 'new.example'), { recursive: true });
  });

  await t.test('killed, the service watches on, and asks by the same path', async () => {
    const { pid } = await host.state();
    await host.systemctl('kill', '--kill-whom=main', '--signal=KILL', 'spegel');
    await until('it runs again', async () => {
      const now = await host.state();
      return now.active === 'active' && now.pid !== pid;
    });
    await until('they are seen', async () => (await metric('present')) > 0);
    await rm(host.path(CERTS), { recursive: true });
    await until('certs.d was removed: _default back', () => isMirrored('_default'));
    await byDefault();
    await addRegistry();
    await until('block back', isMirrored, 15_000);
  });

  await t.test('certs.d is another directory by a rename', async () => {
    await anew();
    await host.run(['cp', '-r', `/${CERTS}`, '/etc/containerd/next']);
    await rm(host.path('etc/containerd/next/.spegel'), { recursive: true });
    await writeFile(host.path('etc/containerd/next', registry, 'hosts.toml'), own);
    await rename(host.path(CERTS), host.path('etc/containerd/former'));
    await rename(host.path('etc/containerd/next'), host.path(CERTS));
    await until('block back', isMirrored);
    await rm(host.path('etc/containerd/former'), { recursive: true });
  });

  await t.test('k3s starts, again and again, while pulls go on: none fails', async () => {
    await anew();
    const loop = new PullLoop(host, images);
    t.after(() => loop.stop());
    const header = '# File generated by k3s. DO NOT EDIT.\n';
    for (let start = 0; start < 2; start += 1) {
      await loop.until(2);
      await rm(host.path(CERTS, registry), { recursive: true });
      await loop.until(1);
      await mkdir(host.path(CERTS, registry));
      await writeFile(file(registry), `${header}${own}`);
      await until('block back', isMirrored, 15_000);
      assert.equal((await restOf()).trim(), `${header}${own}`.trim());
    }
    const { pulled, failures, longestMs } = await loop.stop();
    t.diagnostic(`${pulled} pulls, the longest ${longestMs} ms`);
    assert.deepEqual(failures, []);
  });

  await t.test(
    'a program writes its own text every second: neither log nor disk fills',
    async () => {
      await anew();
      const [reloads, fights] = [
        await host.linesWith('Reloading', CONFIGURATION),
        await host.linesWith(FIGHT),
      ];
      const warnings = await host.linesWith('"WARN"');
      for (let second = 0; second < 18; second += 1) {
        await writeFile(file(registry), own);
        await sleep(1_000);
      }
      const made = (await host.linesWith('Reloading', CONFIGURATION)) - reloads;
      const said = (await host.linesWith('"WARN"')) - warnings;
      t.diagnostic(`${made} times put back, ${said} warnings in 18 s`);
      assert.ok(made >= 2 && made <= 3, `${made} times put back`);
      assert.equal((await host.linesWith(FIGHT)) - fights, 1);
      assert.ok(said <= 3, `${said} warnings`);
    },
  );

  await t.test('a disk that cannot be written: said once, and put back when it can', async () => {
    await anew();
    const saidFailed = await untilSaid(FAILED);
    const dir = '/etc/containerd';
    await host.run(['mount', '--bind', dir, dir]);
    await host.run(['mount', '-o', 'remount,bind,ro', dir]);
    // By the path outside of the host, which stays writable.
    await writeFile(file(registry), own);
    try {
      await saidFailed();
      assert.equal(await metric('failed'), 1);
      // The reload has failed, and nothing else: the unit, and what is in force, stay.
      await host.untilActive(CONFIGURATION);
      assert.ok(await isMirrored('_default'));
    } finally {
      await host.run(['umount', dir]);
    }
    await until('block back', isMirrored, 30_000);
    await until('metric', async () => (await metric('failed')) === 0);
  });

  await t.test('an immutable file: said once, the rest stays, put back when it can', async () => {
    await anew();
    const saidFailed = await untilSaid(FAILED);
    await writeFile(file(registry), own);
    await run(['chattr', '+i', file(registry)]);
    try {
      await saidFailed();
      assert.ok(await isMirrored('_default'));
      assert.equal(await textOf(), own);
    } finally {
      await run(['chattr', '-i', file(registry)]);
    }
    await until('block back', isMirrored, 30_000);
  });

  await t.test(
    'taken out by hand: cleanup says that they come back; a stopped unit is let be',
    async () => {
      await anew();
      const { stderr } = await spegel(host, 'cleanup', INSTALLED);
      assert.match(stderr, /so that they stay out: systemctl stop spegel-configuration/);
      await until('block back', isMirrored);
      await host.systemctl('stop', CONFIGURATION);
      assert.ok(!(await isMirrored()));
      const quiet = await spegel(host, 'cleanup', INSTALLED);
      assert.doesNotMatch(quiet.stderr, /put back/);
      for (let look = 0; look < 40; look += 1) {
        assert.ok(!(await isMirrored()));
        await sleep(100);
      }
      assert.equal((await host.state()).active, 'active');
      await host.systemctl('start', CONFIGURATION);
      assert.ok(await isMirrored());
    },
  );

  await t.test(
    'nothing can be written: the unit has failed, and comes up when it can',
    async () => {
      await host.systemctl('stop', CONFIGURATION);
      await writeFile(file(registry), 'server =\n');
      await mkdir(host.path(CERTS, '_default'), { recursive: true });
      await writeFile(file('_default'), 'server =\n');
      await assert.rejects(host.systemctl('start', CONFIGURATION));
      assert.equal((await host.state(CONFIGURATION)).active, 'failed');
      assert.equal((await host.state()).active, 'active');
      const byHand = await spegel(host, 'configuration', INSTALLED);
      assert.equal(byHand.code, 5, byHand.stderr);
      await writeFile(file(registry), own);
      await rm(host.path(CERTS, '_default'), { recursive: true });
      await until(
        'unit active by itself',
        async () => {
          return (await host.state(CONFIGURATION)).active === 'active';
        },
        60_000,
      );
      assert.ok(await isMirrored());
    },
  );

  await t.test('stopped while they are put back: they are out at the end', async () => {
    const isReloading = async () => (await host.state(CONFIGURATION)).active === 'reloading';
    const moments: Record<string, () => Promise<unknown>> = {
      'before it is noticed': () => sleep(300),
      'about when it is asked for': () => sleep(1_500),
      'while it reloads': () => waitUntil('it reloads', isReloading, { everyMs: 1 }),
      'a little later': () => waitUntil('it reloads', isReloading).then(() => sleep(150)),
    };
    for (const [when, moment] of Object.entries(moments)) {
      await anew();
      await writeFile(file(registry), own);
      await moment();
      await host.systemctl('stop', 'spegel');
      let states: string[] = [];
      const isOver = async () => {
        states = await Promise.all(UNITS.map(async (unit) => (await host.state(unit)).active));
        return states.every((state) => state === 'inactive');
      };
      await until(`all have stopped, ${when}`, isOver, 15_000).catch((error) => {
        throw new Error(`${UNITS}: ${states}: ${error.message}`);
      });
      const reloaded = await host.linesWith('Reload', CONFIGURATION);
      for (let look = 0; look < 15; look += 1) {
        assert.ok(!(await isMirrored()), `they are back: ${when}`);
        await sleep(100);
      }
      assert.equal(await host.linesWith('Reload', CONFIGURATION), reloaded);
    }
    const failed = await host.systemctl(
      'list-units',
      '--failed',
      '--plain',
      '--no-legend',
      'spegel*',
    );
    assert.equal(failed, '');
  });
});
