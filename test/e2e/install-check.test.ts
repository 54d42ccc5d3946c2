/**
 * `spegel install --check` on a real systemd: it says when containerd does not ask the mirror, and
 * what mends that.
 */
import assert from 'node:assert/strict';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { HOST_EXECUTABLE, spegel } from '../../lab/systemd/bare-host.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';
import { assertFine } from '../support/install-check.ts';

const skip = (await labMissing()) || (await systemdMissing());

const SOCKET = '/run/k3s/containerd.sock';
const CERTS_D = '/etc/containerd/certs.d';
const ELSEWHERE = '/var/lib/k3s/etc/certs.d';
const ENV = 'etc/spegel/spegel.env';
const CONFIGURATION = 'spegel-configuration.service';
const config = (path: string) => `version = 3
[grpc]
  address = "${SOCKET}"
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "${path}"
`;

test('install --check on a real systemd', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 0 }, t);
  const { registry } = lab.upstream;
  const host = await SystemdHost.create(lab, 'check', { isBare: true });
  await host.addRegistry(registry);
  const runContainerd = async (path: string) => {
    await mkdir(host.path('etc/containerd'), { recursive: true });
    await writeFile(host.path('etc/containerd/config.toml'), config(path));
    await host.systemctl('restart', 'containerd');
  };
  /** What it is about, with what the lines below say to do. */
  const check = async () => {
    const { code, stdout, stderr } = await spegel(host, 'install', '--check', '--json');
    assert.ok(stdout !== '', stderr);
    const { findings: all, changes } = JSON.parse(stdout);
    // That it has no peers is noted each time.
    const findings = all.filter(({ about }: { about: string }) => about !== 'peers');
    const lines = findings.flatMap((finding: { lines: string[] }) => finding.lines);
    const about = findings.map((finding: { about: string }) => finding.about);
    return { code, about, lines, changes };
  };
  await host.boot();
  await runContainerd(CERTS_D);

  await t.test('a socket elsewhere is named once, and kept', async () => {
    const { code, stderr } = await spegel(host, 'install', `--containerd-sock=${SOCKET}`);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /note: no --static-bootstrap-peers: this host meets others only when/);
    assert.match(
      await readFile(host.path(ENV), 'utf8'),
      new RegExp(`^CONTAINERD_SOCK=${SOCKET}$`, 'm'),
    );
    await assertFine(host);
  });

  await t.test('who looks for what has the port sees spegel', async () => {
    assert.match((await host.run(['ss', '-Hltnp', 'sport = :5000'])).stdout, /users:\(\("spegel",/);
    const { pid } = await host.state();
    const argv = (await host.run(['cat', `/proc/${pid}/cmdline`])).stdout;
    assert.equal(argv, '/usr/local/bin/spegel\0registry\0');
  });

  await t.test('settings that were stopped are told, and started by install', async () => {
    await host.systemctl('stop', CONFIGURATION);
    const { code, about, lines } = await check();
    assert.deepEqual([code, about, lines], [3, ['configuration'], ['spegel install']]);
    const { stdout } = await spegel(host, 'install');
    assert.match(stdout, /^spegel-configuration\.service runs again/);
    assert.match((await host.settings())[registry]?.text ?? '', /127\.0\.0\.1:5000/);
    await assertFine(host);
  });

  await t.test('settings that were written by hand while that unit is stopped', async () => {
    await host.systemctl('stop', CONFIGURATION);
    const byHand = await spegel(host, 'configuration', `--containerd-sock=${SOCKET}`);
    assert.equal(byHand.code, 0, byHand.stderr);
    const { code, stderr } = await spegel(host, 'install', '--check');
    assert.equal(code, 3);
    assert.match(stderr, /got inactive: containerd asks the mirror by settings that were written/);
    assert.equal((await spegel(host, 'install')).code, 0);
    await assertFine(host);
  });

  await t.test('a wrong value is a finding as others are', async () => {
    const text = await readFile(host.path(ENV), 'utf8');
    await appendFile(host.path(ENV), 'LOG_LEVEL="x\nINFLIGHT=no\nMETRICS_ADDR=":9092 # c"\n');
    const { code, about } = await check();
    assert.deepEqual([code, new Set(about)], [3, new Set(['settings'])]);
    // What is right and not in force yet is one thing, and one only.
    await writeFile(host.path(ENV), `${text}METRICS_ADDR=:9098\n`);
    assert.deepEqual((await check()).about, ['stale-settings']);
    await writeFile(host.path(ENV), text);
    await assertFine(host);
  });

  await t.test('a setting that names what the unit hides: install has it seen', async () => {
    const peers = '/etc/ssl/private/peers';
    await mkdir(host.path('etc/ssl/private'), { recursive: true });
    await writeFile(host.path(peers), '# none yet\n');
    const text = await readFile(host.path(ENV), 'utf8');
    const seen = async () => {
      const { pid } = await host.state();
      return (await host.run(['ls', `/proc/${pid}/root/etc/ssl/private`])).stdout.trim();
    };
    await host.systemctl('restart', 'spegel');
    await host.untilActive();
    assert.equal(await seen(), '');
    await appendFile(host.path(ENV), `STATIC_BOOTSTRAP_PEERS_FILE=${peers}\n`);
    const path = '/etc/systemd/system/spegel.service.d/10-shown-paths.conf';
    assert.deepEqual((await check()).changes, [{ path, action: 'add' }]);
    const { code, stderr } = await spegel(host, 'install');
    assert.equal(code, 0, stderr);
    assert.equal(await seen(), 'peers');
    await assertFine(host);
    await writeFile(host.path(ENV), text);
    assert.deepEqual((await check()).changes, [{ path, action: 'remove' }]);
    assert.equal((await spegel(host, 'install')).code, 0);
    assert.equal(await seen(), '');
  });

  await t.test('an option of a drop-in is where the service has it', async () => {
    await host.override('spegel.service', '[Service]\nEnvironment=METRICS_ADDR=:9099\n');
    await host.systemctl('daemon-reload');
    await host.systemctl('restart', 'spegel');
    await host.untilActive(CONFIGURATION);
    await assertFine(host);
    await host.run(['rm', '-r', '/etc/systemd/system/spegel.service.d/override.conf']);
    await host.systemctl('daemon-reload');
    await host.systemctl('restart', 'spegel');
    await host.untilActive(CONFIGURATION);
  });

  await t.test('what the flags of a check would change is no fault of the host', async () => {
    const { stdout } = await spegel(host, 'install', '--check', '--json', '--registry-addr=:5044');
    const { findings, settings } = JSON.parse(stdout);
    const said = findings.filter(({ kind }: { kind: string }) => kind !== 'note');
    assert.deepEqual([said, settings.length], [[], 1]);
  });

  await t.test('a service that was disabled is enabled, and that is said', async () => {
    await host.systemctl('disable', 'spegel');
    assert.match((await spegel(host, 'install')).stdout, /^spegel\.service is enabled again/m);
    await assertFine(host);
  });

  await t.test('a file that containerd has not read yet', async () => {
    await appendFile(host.path('etc/containerd/config.toml'), '# later\n');
    const { code, about, lines } = await check();
    assert.deepEqual([code, about], [3, ['stale-containerd']]);
    await host.run(lines[0].split(' '));
    await assertFine(host);
  });

  await t.test('a directory that came later is told', async () => {
    // Otherwise the service has it written before anybody looks.
    await host.systemctl('stop', 'spegel-settings.path');
    await host.addRegistry('later.corp');
    const { code, about, lines } = await check();
    assert.deepEqual([code, about], [3, ['hosts']]);
    await host.run(lines[0].split(' '));
    await host.systemctl('start', 'spegel-settings.path');
    await assertFine(host);
  });

  await t.test('containerd asks the port on which the registry is put', async () => {
    await appendFile(host.path(ENV), 'REGISTRY_ADDR=:5555\n');
    assert.equal((await spegel(host, 'install')).code, 0);
    await assertFine(host);
    assert.match((await host.settings())[registry]?.text ?? '', /127\.0\.0\.1:5555/);
  });

  await t.test('mirror targets without the port of the registry are told', async () => {
    await appendFile(host.path(ENV), 'MIRROR_TARGETS=http://127.0.0.1:5000\n');
    const { code, about, lines } = await check();
    assert.deepEqual([code, about.includes('mirror-targets')], [3, true]);
    // Nobody has that port, so that anybody could: the settings are not written.
    await assert.rejects(host.systemctl('restart', CONFIGURATION));
    assert.match(
      await host.journal(CONFIGURATION),
      /where http:\/\/127\.0\.0\.1:5000 leads, got nobody/,
    );
    await appendFile(host.path(ENV), `${lines[0]}\n`);
    await host.run(lines[1].split(' '));
    await assertFine(host);
    assert.match((await host.settings())[registry]?.text ?? '', /127\.0\.0\.1:5555/);
  });

  await t.test('by hand, without that file, it says what it does not read', async () => {
    const { code, stderr } = await spegel(host, 'configuration', '--dry-run');
    assert.equal(code, 4, 'nobody has port 5000');
    assert.match(
      stderr,
      /note: \/etc\/spegel\/spegel\.env sets MIRROR_TARGETS, REGISTRY_ADDR, CONTAINERD_SOCK, which this command/,
    );
    assert.doesNotMatch(await host.journal(CONFIGURATION), /which this command/);
    // A check is about the unit, and reads what that reads.
    const checked = await spegel(host, 'configuration', '--check');
    assert.deepEqual([checked.code, checked.stderr], [0, '']);
  });

  await t.test('containerd reads another directory: Spegel can write there', async () => {
    await mkdir(host.path(ELSEWHERE), { recursive: true });
    await runContainerd(ELSEWHERE);
    const { about, lines } = await check();
    assert.deepEqual(about, ['config_path']);
    const setting = lines.find((line: string) => line.startsWith('CONTAINERD_REGISTRY_CONFIG'));
    await appendFile(host.path(ENV), `${setting}\n`);
    assert.deepEqual((await check()).changes, [
      { path: `/etc/systemd/system/${CONFIGURATION}.d/10-config-path.conf`, action: 'add' },
    ]);
    const { code, stderr } = await spegel(host, 'install');
    assert.equal(code, 0, stderr);
    await host.untilActive(CONFIGURATION);
    assert.match(await readFile(host.path(ELSEWHERE, '_default/hosts.toml'), 'utf8'), /:5555/);
    await assertFine(host);
  });

  await t.test('a file that names a few options is no list of them', async () => {
    const text = await readFile(host.path(ENV), 'utf8');
    await writeFile(host.path(ENV), text.replaceAll(/^#.*\n/gm, ''));
    await assertFine(host);
  });

  await t.test('uninstall stops nothing while containerd is to ask this host', async () => {
    const file = host.path(ELSEWHERE, '_default/hosts.toml');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('"1s"', '"2s"'));
    const { code, stdout, stderr } = await spegel(host, 'uninstall');
    assert.equal(code, 1);
    assert.match(stderr, /not uninstalled: .*\n.*_default\/hosts\.toml: left alone/);
    // Where they were before containerd read another directory, they were taken out with that
    // change.
    assert.doesNotMatch((await host.settings())[registry]?.text ?? '', /127\.0\.0\.1/);
    assert.doesNotMatch(stdout, /usr|systemd/);
    assert.equal((await host.state()).active, 'active');
    await host.systemctl('stop', CONFIGURATION);
    assert.equal((await host.state(CONFIGURATION)).active, 'failed');
    await writeFile(file, text);
  });

  await t.test('uninstall takes that away, too', async () => {
    await writeFile(host.path('usr/local/bin/.spegel.spegel-new'), 'of a run that was killed');
    const { code, stderr } = await spegel(host, 'uninstall', '--purge', {
      executable: HOST_EXECUTABLE,
    });
    assert.equal(code, 0, stderr);
    await assert.rejects(readFile(host.path(ELSEWHERE, '_default/hosts.toml')), { code: 'ENOENT' });
    const { stdout } = await host.run(['find', '/etc', '/usr', '-name', '*spegel*']);
    assert.equal(stdout, '');
  });
});
