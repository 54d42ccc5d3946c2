/** systemd holds the mirror's port: no other user ever has it while settings point there. */
import assert from 'node:assert/strict';
import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';
import { startAsking } from '../support/asking.ts';
import { addBinder, boundBy } from '../support/binder.ts';

const skip = (await labMissing()) || (await systemdMissing());

const MIRROR = '[host."http://127.0.0.1:5000"]';
const CONFIGURATION = 'spegel-configuration.service';
/** Without Spegel such a pull takes a quarter of a second. */
const MAX_PULL_MS = 10_000;
/** The network of a boot, as DHCP makes it. */
const SLOW_NETWORK = `[Unit]
Before=network-online.target
[Service]
Type=oneshot
ExecStart=sleep 12
[Install]
WantedBy=network-online.target
`;

test("systemd holds the mirror's port", { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 0 }, t);
  const { registry } = lab.upstream;
  const host = await SystemdHost.create(lab, 'port');
  await host.addRegistry(registry);
  const kill = (stop: () => void) => t.after(stop);
  await addBinder(host);
  // What makes Node run otherwise must not cost the daemon the socket that it is given.
  await appendFile(host.path('etc/spegel/spegel.env'), 'NODE_DEBUG=http\n');
  await writeFile(host.path('etc/systemd/system/slow-network.service'), SLOW_NETWORK);
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'port', layers: 1, layerMiB: 4 });
  const reference = await lab.upstream.push(image, 'port/image');
  await host.boot();
  await host.systemctl('enable', '--now', 'containerd', 'spegel', 'binder');

  const isMirrored = async () => ((await host.settings())[registry]?.text ?? '').includes(MIRROR);
  const states = async () => {
    const units = ['spegel.service', 'spegel.socket', CONFIGURATION];
    return (await Promise.all(units.map((unit) => host.state(unit)))).map(({ active }) => active);
  };
  const untilServing = async () => {
    await host.untilActive('spegel.service', 40_000);
    await host.untilActive(CONFIGURATION);
    assert.deepEqual(
      [...(await states()), await isMirrored()],
      ['active', 'active', 'active', true],
    );
  };
  const holders = async () => (await host.run(['ss', '-Hltnp', 'sport = :5000'])).stdout;
  /** Is it systemd's at each moment of this? */
  const assertHeldDuring = async (work: () => Promise<void>) => {
    let isOver = false;
    const watched = (async () => {
      const looks: string[] = [];
      while (!isOver) looks.push(await holders());
      return looks;
    })();
    await work().finally(() => {
      isOver = true;
    });
    const looks = await watched;
    const others = looks.filter((look) => !/\("systemd",pid=1,/.test(look));
    t.diagnostic(`${looks.length} looks at who holds the port`);
    assert.deepEqual(others, []);
  };
  /** What the user got, who is there to take it all the time. */
  const assertNothingTaken = async () =>
    assert.deepEqual(
      (await boundBy(host)).filter((line) => !line.startsWith('begins')),
      [],
    );
  const assertTakenBare = async () => {
    const got = (await boundBy(host)).filter((line) => line.startsWith('got'));
    t.diagnostic(`taken without settings: ${got.length} times`);
    assert.deepEqual(
      got.filter((line) => !line.includes('do not point')),
      [],
    );
    return got.length;
  };
  await untilServing();
  await boundBy(host);

  for (const [fate, ...words] of [
    ['killed', 'kill', '--kill-whom=main', '--signal=KILL', 'spegel'],
    ['frozen', 'kill', '--kill-whom=main', '--signal=STOP', 'spegel'],
    ['restarted', 'restart', 'spegel'],
  ] as const) {
    await t.test(`${fate}: held all the time, and every connection is answered`, async () => {
      const { pid } = await host.state();
      const asking = startAsking(kill, host.net);
      await sleep(500);
      await assertHeldDuring(async () => {
        await host.systemctl(...words);
        const isBack = async () => {
          const now = await host.state();
          return now.active === 'active' && now.pid !== pid;
        };
        await waitUntil('it runs again', isBack, { timeoutMs: 30_000, everyMs: 100 });
        await sleep(500);
      });
      const { total, answered, others, longestMs } = await asking.stop();
      t.diagnostic(`${fate}: ${answered} of ${total}, the longest ${longestMs.toFixed(0)} ms`);
      // What a process that dies had accepted dies with it; whatever comes later waits.
      assert.ok(total - answered <= (fate === 'restarted' ? 0 : 2), JSON.stringify(others));
      assert.deepEqual(
        Object.keys(others).filter((other) => other !== 'ECONNRESET'),
        [],
      );
      // Somebody waited: it was between two lives that they asked.
      assert.ok(longestMs > 100, `${longestMs} ms`);
      await assertNothingTaken();
      await untilServing();
    });
  }

  await t.test('stopped: both are, traffic starts neither, and the settings go first', async () => {
    const asking = startAsking(kill, host.net);
    await sleep(500);
    await host.systemctl('stop', 'spegel');
    const isOver = async () => (await states()).every((state) => state === 'inactive');
    await waitUntil('all have stopped', isOver, { timeoutMs: 15_000 });
    for (let look = 0; look < 20; look += 1) {
      assert.ok(await isOver());
      await sleep(100);
    }
    const { others } = await asking.stop();
    t.diagnostic(`asked at a stopped service: ${JSON.stringify(others)}`);
    assert.ok((await assertTakenBare()) > 0, 'nobody was there to take it');
    // Where the port is still taken at this moment the first try fails, and the next one follows.
    await host.systemctl('start', 'spegel').catch(() => {});
    await untilServing();
    await assertTakenBare();
  });

  await t.test(
    'an option is wrong: the settings go, then the port; corrected, both are back',
    async () => {
      const file = host.path('etc/spegel/spegel.env');
      await appendFile(file, 'ROUTER_ADDR=nonsense\n');
      await assert.rejects(host.systemctl('restart', 'spegel'));
      const restarts = async () => (await host.state()).restarts;
      await waitUntil('it has been tried', async () => (await restarts()) >= 1, {
        timeoutMs: 20_000,
      });
      const [first, began] = [await restarts(), performance.now()];
      await sleep(8_000);
      assert.equal(await isMirrored(), false);
      const rate = (await restarts()) - first;
      t.diagnostic(`${rate} tries in ${((performance.now() - began) / 1_000).toFixed(1)} s`);
      assert.ok(rate <= 3, `it spins: ${rate} tries`);
      await appendFile(file, 'ROUTER_ADDR=:5001\n');
      await untilServing();
      await assertTakenBare();
    },
  );

  await t.test(
    'it crashes before it is ready: the settings go, since nobody would answer',
    async () => {
      await host.systemctl('stop', 'containerd');
      await host.systemctl('kill', '--kill-whom=main', '--signal=KILL', 'spegel');
      const isWaiting = async () => (await host.state()).sub === 'start' && host.answers('/livez');
      await waitUntil('it waits for containerd', isWaiting, { timeoutMs: 20_000 });
      assert.ok(await isMirrored());
      await host.systemctl('kill', '--kill-whom=main', '--signal=SEGV', 'spegel');
      await waitUntil('settings gone', async () => !(await isMirrored()), { timeoutMs: 10_000 });
      await host.systemctl('start', 'containerd');
      await untilServing();
      await assertTakenBare();
    },
  );

  await t.test(
    'power cut, and the network comes late: the port is held, pulls wait for nobody',
    async () => {
      await host.systemctl('enable', 'slow-network');
      await host.cutPower();
      assert.ok(await isMirrored());
      const booted = host.boot();
      const isUp = async () =>
        (await host.systemctl('is-active', 'containerd').catch(() => '')) !== '';
      await waitUntil('containerd runs', isUp, { timeoutMs: 30_000 });
      assert.deepEqual([...(await states()), await isMirrored()].slice(0, 2), [
        'inactive',
        'active',
      ]);
      assert.equal(await isMirrored(), false);
      const began = performance.now();
      await host.pull(reference);
      const ms = performance.now() - began;
      t.diagnostic(`pull before the network is there: ${ms.toFixed(0)} ms`);
      assert.ok(ms < MAX_PULL_MS, `${ms} ms`);
      assert.equal((await host.state()).active, 'inactive', 'the pull came too late');
      await booted;
      await host.systemctl('disable', 'slow-network');
      await untilServing();
      await assertNothingTaken();
    },
  );

  await t.test('shut down and booted', async () => {
    await host.powerOff();
    assert.equal(await isMirrored(), false);
    await assertTakenBare();
    await host.boot();
    await untilServing();
    await assertNothingTaken();
  });

  await t.test('disabled at once, nothing of it is left', async () => {
    await host.systemctl('disable', '--now', 'spegel');
    const isOver = async () => (await states()).every((state) => state === 'inactive');
    await waitUntil('all have stopped', isOver, { timeoutMs: 15_000 });
    assert.equal(await isMirrored(), false);
    await assertTakenBare();
  });
});
