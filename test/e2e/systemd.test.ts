/**
 * The units on a real systemd, with a real containerd, in a container: one host, told as the days
 * of its life. Its bad days: unit-failures.test.ts.
 */
import assert from 'node:assert/strict';
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertHolds, blobPath, bytesOf, servedBytes, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';

const skip = (await labMissing()) || (await systemdMissing());

const MIRROR = '[host."http://127.0.0.1:5000"]';
const MAX_EXPOSURE = {
  'spegel.service': 1.4,
  'spegel-configuration.service': 1.6,
  'spegel-settings.service': 1.3,
};

/** Where programs keep secrets; a file named SECRET is put into each. */
const SECRETS = [
  '/etc/ssh',
  '/etc/ssl/private',
  '/etc/kubernetes',
  '/var/log',
  '/var/lib/kubelet',
  '/root',
  '/home/user',
];
const SECRET = 'a-secret';

test('the units on a real systemd', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 }, t);
  const peer = lab.host(0);
  const { registry } = lab.upstream;
  const host = await SystemdHost.create(lab, 'sd');
  await host.addRegistry(registry);
  const bare = await host.settings();
  const peers = `STATIC_BOOTSTRAP_PEERS=${peer.address}:5001\n`;
  await appendFile(host.path('etc/spegel/spegel.env'), peers);
  for (const path of SECRETS) {
    await mkdir(host.path(path), { recursive: true });
    await writeFile(host.path(path, SECRET), '');
  }
  const look = `ExecStartPre=-/bin/ls -RA ${SECRETS.join(' ')} /var/lib/private /etc/containerd`;
  await host.override('spegel-configuration.service', `[Service]\n${look}\n`);
  await lab.startSpegel({ bootstrap: [host.net.address] });
  await host.boot();
  const mirrored = async () => {
    const settings = await host.settings();
    return Object.values(settings).every(({ text }) => text.includes(MIRROR)) && settings;
  };
  const untilMirrored = () =>
    waitUntil('the settings are there', async () => (await mirrored()) !== false);
  const untilBare = (ms = 5_000) =>
    waitUntil('the settings are gone', async () => !(await mirrored()), { timeoutMs: ms });
  const assertBare = async () =>
    assert.equal((await host.settings())[registry]?.text, bare[registry]?.text);

  await t.test('systemd finds nothing wrong with them', async () => {
    for (const unit of [...Object.keys(MAX_EXPOSURE), 'spegel.socket', 'spegel-settings.path']) {
      const { stdout, stderr } = await host.run(['systemd-analyze', 'verify', unit]);
      assert.equal(stdout + stderr, '');
    }
    for (const [unit, most] of Object.entries(MAX_EXPOSURE)) {
      const words = ['security', '--no-pager', '--offline=true', `/etc/systemd/system/${unit}`];
      const report = (await host.run(['systemd-analyze', ...words])).stdout;
      const exposure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(report)?.[1]);
      t.diagnostic(`exposure of ${unit}: ${exposure}`);
      assert.ok(exposure <= most, report);
    }
  });

  await t.test('without containerd it serves and waits', async () => {
    await host.systemctl('start', '--no-block', 'spegel');
    await waitUntil('the registry answers', () => host.answers('/livez'));
    // Longer than systemd waits for a start that does not ask for more time.
    await sleep(12_000);
    const { active, status, restarts } = await host.state();
    assert.deepEqual([active, restarts], ['activating', 0]);
    assert.match(status, /waiting for the store/);
    await assertBare();
  });

  await t.test('ready when containerd is, and only then are settings written', async () => {
    await host.systemctl('enable', '--now', 'containerd');
    await host.untilActive();
    await host.untilActive('spegel-configuration.service');
    assert.equal((await host.state()).status, 'serving');
    assert.ok(await mirrored());
  });

  await t.test('hardened as it is, it tells root from other users of the host', async () => {
    const url = 'http://127.0.0.1:5000/v2/';
    const flags = ['--header', 'Host: evil.example', '--output', '/dev/null'];
    const status = [...flags, '--write-out', '%{http_code}', url];
    assert.equal(await host.net.curl(...status), '200');
    const user = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const { stdout } = await host.net.run([...user, lab.tools.curl, '--silent', ...status]);
    assert.equal(stdout, '421');
  });

  await t.test('hardened as it is, it shares and gets what it has not', async () => {
    const [there, here] = [
      await makeImage(join(lab.dir, 'there'), { seed: 'there', layers: 2, layerMiB: 4 }),
      await makeImage(join(lab.dir, 'here'), { seed: 'here', layers: 2, layerMiB: 4 }),
    ];
    await lab.upstream.push(there, 'sd/there');
    await lab.upstream.push(here, 'sd/here');
    // By digest: whether a tag is asked from the upstream is remembered for seconds.
    const thereRef = `${registry}/sd/there@${there.digest}`;
    const hereRef = `${registry}/sd/here@${here.digest}`;
    await host.pull(hereRef);
    await peer.containerd.pull(thereRef);
    await untilFound(lab, peer, 'sd/here', here);
    const path = blobPath(lab, 'sd/there', there.manifests[0]?.config.digest ?? '');
    await waitUntil('it finds what the peer has', () => host.answers(path));

    await lab.upstream.stop();
    const before = await servedBytes(peer);
    await peer.containerd.pull(hereRef);
    await assertHolds(peer, here);
    await host.pull(thereRef);
    assert.ok((await servedBytes(peer)) - before >= bytesOf(there));
    await lab.upstream.start();
    // Read as files, not over containerd's socket, which would mean the capability is lost; and no
    // line but our own.
    const log = await host.journal('spegel');
    assert.doesNotMatch(log, /cannot read the content store|ExperimentalWarning/);
  });

  await t.test('as no user of the machine, with one capability', async () => {
    const { pid } = await host.state();
    const status = (await host.run(['cat', `/proc/${pid}/status`])).stdout;
    assert.doesNotMatch(status, /^Uid:\t0\b/m);
    const CAP_DAC_READ_SEARCH = '0000000000000004';
    for (const set of ['Prm', 'Eff', 'Bnd']) {
      assert.match(status, new RegExp(`^Cap${set}:\\t${CAP_DAC_READ_SEARCH}$`, 'm'));
    }
  });

  await t.test('no unit sees the secrets of others, or of one another', async () => {
    const { pid } = await host.state();
    const { stdout } = await host.run(['find', `/proc/${pid}/root/`, '-xdev', '-name', SECRET]);
    assert.equal(stdout, '');
    const seen = async (path: string) => host.run(['ls', '-A', `/proc/${pid}/root${path}`]);
    for (const path of SECRETS.filter((name) => !name.startsWith('/home/'))) {
      assert.equal((await seen(path)).stdout, '', path);
    }
    const log = await host.journal('spegel-configuration');
    assert.match(log, /^certs\.d$/m);
    assert.doesNotMatch(log, new RegExp(`^(?:${SECRET}|spegel|private\\.key)$`, 'm'));
  });

  await t.test('it sees what has been replaced or moved since its start', async () => {
    const { pid } = await host.state();
    await host.run(['sh', '-c', 'echo "# new" >/etc/new && mv /etc/new /etc/resolv.conf']);
    const resolver = await host.run(['cat', `/proc/${pid}/root/etc/resolv.conf`]);
    assert.equal(resolver.stdout, '# new\n');
    await host.systemctl('stop', 'containerd');
    const move = 'mkdir /data && mv /var/lib/containerd /data/ && ln -s /data/containerd /var/lib/';
    await host.run(['sh', '-c', move]);
    await host.systemctl('start', 'containerd');
    const image = await makeImage(join(lab.dir, 'moved'), { seed: 'moved', layers: 1 });
    await lab.upstream.push(image, 'sd/moved');
    await host.pull(`${registry}/sd/moved@${image.digest}`);
    await untilFound(lab, peer, 'sd/moved', image);
    await peer.containerd.pull(`${registry}/sd/moved@${image.digest}`);
    assert.equal((await host.state()).pid, pid);
    assert.doesNotMatch(await host.journal('spegel'), /cannot read the content store/);
  });

  await t.test('reloaded, the same process goes on serving', async () => {
    const { pid } = await host.state();
    await host.systemctl('reload', 'spegel');
    await waitUntil('it reloads', async () =>
      /"msg":"reloading"/.test(await host.journal('spegel')),
    );
    const now = await host.state();
    assert.deepEqual([now.active, now.pid], ['active', pid]);
    assert.ok(await host.answers('/readyz'));
  });

  for (const [fate, signal] of [
    ['killed', 'KILL'],
    ['frozen', 'STOP'],
  ] as const) {
    await t.test(`${fate}, it runs again by itself, and the settings are not touched`, async () => {
      const settings = await mirrored();
      const { pid } = await host.state();
      await host.systemctl('kill', '--kill-whom=main', `--signal=${signal}`, 'spegel');
      const began = performance.now();
      const isBack = async () => {
        const now = await host.state();
        assert.deepEqual(await host.settings(), settings);
        return now.active === 'active' && now.pid !== pid;
      };
      await waitUntil('it runs again', isBack, { timeoutMs: 15_000, everyMs: 100 });
      t.diagnostic(`${fate}: back after ${((performance.now() - began) / 1000).toFixed(1)} s`);
      await waitUntil('it answers', () => host.answers('/readyz'));
      await sleep(500);
      assert.deepEqual(await host.settings(), settings);
    });
  }

  await t.test(
    'stopped, also between two starts: the settings are gone and pulls go upstream',
    async () => {
      const { pid } = await host.state();
      await host.systemctl('kill', '--kill-whom=main', '--signal=KILL', 'spegel');
      await waitUntil('it has ended', async () => (await host.state()).pid !== pid);
      await host.systemctl('stop', 'spegel');
      await untilBare();
      await assertBare();
      await host.systemctl('start', 'spegel');
      await untilMirrored();
      await host.systemctl('stop', 'spegel');
      await untilBare();
      await assertBare();
      const image = await makeImage(join(lab.dir, 'late'), { seed: 'late', layers: 1 });
      const reference = await lab.upstream.push(image, 'sd/late');
      await lab.upstream.forget();
      await host.pull(reference);
      assert.ok((await lab.upstream.blobRequests()).length > 0);
    },
  );

  await t.test(
    'with an option that is wrong it never gets ready, and nothing is written',
    async () => {
      await appendFile(host.path('etc/spegel/spegel.env'), 'REGISTRY_ADDR=nonsense\n');
      await assert.rejects(host.systemctl('start', 'spegel'));
      await sleep(1_000);
      assert.match((await host.state()).active, /^(?:de)?activating$/);
      await assertBare();
      await appendFile(host.path('etc/spegel/spegel.env'), 'REGISTRY_ADDR=:5000\n');
      await host.untilActive();
      await untilMirrored();
    },
  );

  await t.test('the settings are taken out at shutdown, and back after the next boot', async () => {
    await host.systemctl('enable', 'spegel');
    await host.powerOff();
    await assertBare();
    await host.boot();
    await host.untilActive();
    await untilMirrored();
  });

  await t.test('disabled, it leaves nothing that points at it', async () => {
    await host.systemctl('disable', '--now', 'spegel');
    const isOver = async () =>
      (await host.state('spegel-configuration.service')).active === 'inactive';
    await waitUntil('its unit has stopped', isOver);
    assert.deepEqual(Object.keys(await host.settings()), Object.keys(bare));
    await assertBare();
    const isReleased = async () => (await host.state('spegel.socket')).active === 'inactive';
    await waitUntil('its socket has stopped', isReleased);
  });
});
