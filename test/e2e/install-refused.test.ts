/**
 * `spegel install` on a real systemd where something is in the way: it says what, and touches
 * nothing.
 */
import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { HOST_EXECUTABLE, listing, spegel } from '../../lab/systemd/bare-host.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';

const skip = (await labMissing()) || (await systemdMissing());

const CONFIG = '/etc/containerd/config.toml';
/** As Go Spegel writes it. */
const GO_HOSTS_TOML = `[host.'http://127.0.0.1:30020']
capabilities = ['pull', 'resolve']
dial_timeout = '200ms'`;

test('install where something is in the way', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 0 }, t);
  const { registry } = lab.upstream;
  const host = await SystemdHost.create(lab, 'refused', { isBare: true });
  await host.addRegistry(registry);
  await host.boot();
  let before = '';

  await t.test('without containerd nothing is touched', async () => {
    before = await listing(host);
    const { code, stderr } = await spegel(host, 'install');
    assert.equal(code, 1);
    assert.match(stderr, /cannot install: expected containerd to answer at \/run\/containerd/);
    assert.match(stderr, /got: connect ENOENT \/run\/containerd\/containerd\.sock; start it/);
    assert.match(stderr, /nothing was touched/);
    const other = await spegel(host, 'install', '--containerd-sock=/run/k3s/containerd.sock');
    assert.match(other.stderr, /expected containerd to answer at \/run\/k3s\/containerd\.sock/);
    const wrong = await spegel(host, 'install', '--json', '--static-bootstrap-peers=:');
    assert.match(JSON.parse(wrong.stdout).problem, /^--static-bootstrap-peers: expected/);
    assert.equal(await listing(host), before);
  });

  await t.test('a disk that is read-only or full is told before anything is touched', async () => {
    await host.systemctl('enable', '--now', 'containerd');
    before = await listing(host);
    const mounts = [
      [
        'size=20m',
        /expected \d+\.\d MB to be free at \/usr\/local\/bin, got \d+\.\d MB; make room/,
      ],
      [
        'ro',
        /expected a directory to write to at \/usr\/local\/bin, .* got a read-only file system/,
      ],
    ] as const;
    for (const [options, said] of mounts) {
      await host.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', '/usr/local/bin']);
      const checked = await spegel(host, 'install', '--check');
      assert.equal(checked.code, 3);
      assert.match(checked.stderr, said);
      const { code, stderr } = await spegel(host, 'install');
      assert.equal(code, 1);
      assert.match(stderr, /nothing was touched/);
      await host.run(['umount', '/usr/local/bin']);
      assert.equal(await listing(host), before);
    }
  });

  await t.test("somebody else's program of that name is not replaced", async () => {
    await writeFile(host.path('usr/local/bin/spegel'), '#!/bin/sh\n');
    const { code, stderr } = await spegel(host, 'install');
    assert.equal(code, 1);
    assert.match(
      stderr,
      /cannot install: expected nothing at \/usr\/local\/bin\/spegel, got a file/,
    );
    await rm(host.path('usr/local/bin/spegel'));
    assert.equal(await listing(host), before);
  });

  await t.test('a port that is taken is named, and nothing is touched', async () => {
    await host.systemctl('enable', '--now', 'containerd');
    before = await listing(host);
    const taker = ['systemd-run', '--unit=taker', '--property=Environment=REGISTRY_ADDR=:5000'];
    const words = ['--content-store', 'oci-layout', '--oci-layout-path', '/tmp', '--data-dir='];
    await host.run([...taker, HOST_EXECUTABLE, 'registry', '--router-addr=:0', ...words]);
    await waitUntil('the port is taken', () => host.answers('/livez'));
    const { code, stderr } = await spegel(host, 'install', '--check');
    assert.equal(code, 3);
    assert.match(stderr, /in the way: expected port 5000 to be free for REGISTRY_ADDR/);
    const { findings, changes } = JSON.parse((await spegel(host, 'install', '--json')).stdout);
    assert.equal(findings[0].about, 'port');
    assert.deepEqual(changes, []);
    await host.systemctl('stop', 'taker');
    assert.equal(await listing(host), before);
  });

  await t.test('old mirrors get their migration, never config_path beside them', async () => {
    await mkdir(host.path('etc/containerd'), { recursive: true });
    const old = `version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\n  endpoint = ["https://mirror.example/v2/hub"]\n`;
    await writeFile(host.path(CONFIG), old);
    await host.systemctl('restart', 'containerd');
    const { code, stderr } = await spegel(host, 'install', '--check');
    assert.equal(code, 3);
    assert.match(stderr, /to do: .* got registry\.mirrors\."docker\.io"/);
    assert.match(stderr, /# \/etc\/containerd\/certs\.d\/docker\.io\/hosts\.toml/);
    assert.match(stderr, /override_path = true/);
    await rm(host.path(CONFIG));
    await host.systemctl('restart', 'containerd');
  });

  await t.test(
    'neither a unit written by hand nor what Go Spegel moved away is touched',
    async () => {
      const unit = host.path('etc/systemd/system/spegel.service');
      await writeFile(unit, '[Service]\nExecStart=/usr/local/bin/spegel registry\n');
      const backup = host.path('etc/containerd/certs.d/_backup');
      const mirrored = host.path('etc/containerd/certs.d/_default');
      await mkdir(backup);
      await mkdir(mirrored);
      await writeFile(join(mirrored, 'hosts.toml'), GO_HOSTS_TOML);
      const was = await listing(host);
      const { code, stderr } = await spegel(host, 'install');
      assert.equal(code, 1);
      assert.match(stderr, /cannot install: expected no other unit at \/etc\/systemd/);
      assert.match(stderr, /cannot install: expected no settings that Go Spegel moved away/);
      assert.match((await spegel(host, 'uninstall')).stderr, /got another, and touched nothing/);
      assert.equal(await listing(host), was);
      await rm(unit);
      await rm(backup, { recursive: true });
      await rm(mirrored, { recursive: true });
    },
  );

  await t.test('a service that does not come up is told, with where it says why', async () => {
    await mkdir(host.path('etc/spegel'));
    await writeFile(host.path('etc/spegel/spegel.env'), 'DATA_DIR=/proc/none\n');
    const { code, stderr } = await spegel(host, 'install');
    assert.equal(code, 1);
    assert.doesNotMatch(stderr, /does not name/);
    assert.match(
      stderr,
      /expected spegel\.service to run, got .* 'journalctl -u spegel\.service' says why/,
    );
    assert.doesNotMatch((await host.settings())[registry]?.text ?? '', /127\.0\.0\.1/);
    assert.equal((await spegel(host, 'uninstall', '--purge')).code, 0);
    assert.equal(await listing(host), before);
  });
});
