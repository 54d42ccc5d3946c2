/**
 * `spegel install` and `spegel uninstall` on a real systemd with a real containerd: a bare host,
 * and bare again.
 */
import assert from 'node:assert/strict';
import { appendFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { blobPath, servedBytes, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { HOST_EXECUTABLE, listing, spegel } from '../../lab/systemd/bare-host.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';
import { assertNetworkDecision } from './install-network.ts';

const SYSTEMD = join(import.meta.dirname, '../../systemd');

const skip = (await labMissing()) || (await systemdMissing());

test('install and uninstall on a real systemd', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 }, t);
  const peer = lab.host(0);
  const { registry } = lab.upstream;
  const host = await SystemdHost.create(lab, 'inst', { isBare: true });
  await host.addRegistry(registry);
  await lab.startSpegel({ bootstrap: [host.net.address] });
  await host.boot();
  await host.systemctl('enable', '--now', 'containerd');
  const peers = `${peer.address}:5001`;
  const before = await listing(host);

  await t.test('one command: a service that runs, shares, and gets what it has not', async () => {
    const { code, stdout, stderr } = await spegel(
      host,
      'install',
      `--static-bootstrap-peers=${peers}`,
    );
    t.diagnostic(stdout + stderr);
    assert.equal(code, 0, stderr);
    assert.match(
      stderr,
      /to do: expected containerd's config_path to be \/etc\/containerd\/certs\.d/,
    );
    for (const unit of await readdir(SYSTEMD)) {
      if (unit === 'spegel.env') continue;
      const installed = await readFile(host.path('etc/systemd/system', unit), 'utf8');
      assert.equal(installed, await readFile(join(SYSTEMD, unit), 'utf8'));
    }
    assert.equal((await host.state()).active, 'active');
    assert.equal((await host.state('spegel-configuration.service')).active, 'active');
    assert.equal((await host.systemctl('is-enabled', 'spegel')).trim(), 'enabled');
    assert.match((await host.settings())[registry]?.text ?? '', /127\.0\.0\.1:5000/);
    const image = await makeImage(join(lab.dir, 'there'), {
      seed: 'there',
      layers: 2,
      layerMiB: 4,
    });
    await lab.upstream.push(image, 'inst/there');
    const reference = `${registry}/inst/there@${image.digest}`;
    await peer.containerd.pull(reference);
    await untilFound(lab, peer, 'inst/there', image);
    const path = blobPath(lab, 'inst/there', image.manifests[0]?.config.digest ?? '');
    await waitUntil('it finds what the peer has', () => host.answers(path));
    const served = await servedBytes(peer);
    await lab.upstream.stop();
    await host.pull(reference);
    await lab.upstream.start();
    assert.ok((await servedBytes(peer)) > served);
  });

  await t.test('again: nothing to do', async () => {
    const { pid } = await host.state();
    const { code, stdout } = await spegel(host, 'install');
    // containerd's config_path is not set yet.
    assert.deepEqual([code, stdout], [0, 'in place; see above what is left to do\n']);
    assert.equal((await host.state()).pid, pid);
  });

  await t.test(
    'an older release did not ask: the network stays open, and one line says so',
    async () => {
      const env = host.path('etc/spegel/spegel.env');
      const text = await readFile(env, 'utf8');
      assert.match(text, /^OPEN_NETWORK=true$/m);
      await writeFile(env, text.replace('OPEN_NETWORK=true', '#OPEN_NETWORK='));
      const { pid } = await host.state();
      const { code, stderr } = await spegel(host, 'install');
      assert.equal(code, 0);
      assert.equal(
        stderr.match(/^spegel: note: the network of this host is open, .*$/gm)?.length,
        1,
      );
      assert.equal((await host.state()).pid, pid);
      await writeFile(env, text);
      assert.doesNotMatch((await spegel(host, 'install')).stderr, /network/);
    },
  );

  await t.test('with what its note says written down, nothing is left to say', async () => {
    const { findings } = JSON.parse((await spegel(host, 'install', '--check', '--json')).stdout);
    assert.deepEqual(
      findings.map(({ about }: { about: string }) => about),
      ['config_path'],
    );
    const lines: string[] = findings[0].lines;
    assert.equal(lines.at(-1), 'systemctl restart containerd');
    const config = host.path('etc/containerd/config.toml');
    await writeFile(config, `${lines.slice(0, -1).join('\n')}\n`);
    await host.systemctl('restart', 'containerd');
    const { code, stdout, stderr } = await spegel(host, 'install', '--check');
    assert.deepEqual([code, stdout], [0, 'nothing to do\n'], stderr);
    await rm(config);
    await host.systemctl('restart', 'containerd');
  });

  await t.test(
    'a socket of another group gets its drop-in, for as long as it is needed',
    async () => {
      const dropIn = host.path('etc/systemd/system/spegel.service.d/10-socket-group.conf');
      await host.run(['chgrp', 'daemon', '/run/containerd/containerd.sock']);
      assert.equal((await spegel(host, 'install')).code, 0);
      assert.match(await readFile(dropIn, 'utf8'), /^SupplementaryGroups=daemon$/m);
      assert.match(await host.systemctl('show', 'spegel'), /^SupplementaryGroups=root daemon$/m);
      await host.run(['chgrp', 'root', '/run/containerd/containerd.sock']);
      const { stdout } = await spegel(host, 'install');
      assert.match(stdout, /removed .*10-socket-group\.conf\nspegel\.service runs again/);
      await assert.rejects(readFile(dropIn), { code: 'ENOENT' });
    },
  );

  await t.test('without user namespaces the unit goes without them, and serves', async () => {
    const limit = '/proc/sys/user/max_user_namespaces';
    await writeFile(host.path('opt/zero'), '0\n');
    await host.run(['mount', '--bind', '/opt/zero', limit]);
    const { code, stderr } = await spegel(host, 'install');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /note: this host has no user namespaces/);
    assert.match(await host.systemctl('show', 'spegel'), /^PrivateUsers=no$/m);
    assert.ok(await host.answers('/readyz'));
    await host.run(['umount', limit]);
    assert.equal((await spegel(host, 'install')).code, 0);
    assert.match(await host.systemctl('show', 'spegel'), /^PrivateUsers=yes$/m);
    await rm(host.path('opt/zero'));
  });

  await t.test(
    'a service that was stopped is told by --check, and started by install',
    async () => {
      await host.systemctl('disable', '--now', 'spegel');
      const { code, stderr } = await spegel(host, 'install', '--check');
      assert.equal(code, 3);
      assert.match(
        stderr,
        /expected spegel\.service to be active and enabled, got \w+ and not enabled/,
      );
      assert.equal((await spegel(host, 'install', '--start=false')).code, 0);
      const later = await spegel(host, 'install', '--check', '--start=false', '--json');
      const about = JSON.parse(later.stdout).findings.map(
        (found: { about: string }) => found.about,
      );
      assert.deepEqual(about, ['config_path']);
      assert.match((await spegel(host, 'install')).stdout, /^spegel\.service runs/);
      assert.equal((await host.systemctl('is-enabled', 'spegel')).trim(), 'enabled');
    },
  );

  await t.test('a newer build takes over while pulls run, and none fails', async () => {
    const { pid } = await host.state();
    await host.run(['cp', HOST_EXECUTABLE, '/opt/newer']);
    await appendFile(host.path('opt/newer'), '\n');
    const images = await Promise.all(
      Array.from({ length: 12 }, async (_, n) => {
        const options = { seed: `up${n}`, layers: 2, layerMiB: 4 };
        const image = await makeImage(join(lab.dir, `up${n}`), options);
        await lab.upstream.push(image, `inst/up${n}`);
        return `${registry}/inst/up${n}@${image.digest}`;
      }),
    );
    for (const reference of images) await peer.containerd.pull(reference);
    let isDone = false;
    let pulled = 0;
    const pulls = (async () => {
      for (const reference of images) {
        await host.pull(reference);
        pulled += isDone ? 0 : 1;
      }
    })();
    const { code, stdout, stderr } = await spegel(host, 'install', { executable: '/opt/newer' });
    isDone = true;
    await pulls;
    t.diagnostic(`${pulled} pulls during the upgrade`);
    assert.deepEqual([code, stderr.includes('cannot')], [0, false], stderr);
    assert.match(stdout, /changed \/usr\/local\/bin\/spegel\nspegel\.service runs again/);
    assert.ok(pulled > 0, 'no pull ran meanwhile');
    assert.notEqual((await host.state()).pid, pid);
    assert.match((await host.settings())[registry]?.text ?? '', /127\.0\.0\.1:5000/);
    await host.run(['rm', '/opt/newer']);
  });

  await t.test(
    'an upgrade that was ended before the restart is finished by the next call',
    async () => {
      const { pid } = await host.state();
      await host.run(['cp', '/usr/local/bin/spegel', '/opt/copy']);
      await host.run(['mv', '/opt/copy', '/usr/local/bin/spegel']);
      const words = { executable: '/usr/local/bin/spegel' };
      assert.match((await spegel(host, 'install', words)).stdout, /^spegel\.service runs again/);
      assert.notEqual((await host.state()).pid, pid);
      assert.match((await spegel(host, 'install', words)).stdout, /^in place/);
    },
  );

  await t.test('uninstall leaves the file system as it was', async () => {
    const { code, stdout, stderr } = await spegel(host, 'uninstall', {
      executable: '/usr/local/bin/spegel',
    });
    t.diagnostic(stdout);
    assert.deepEqual([code, stderr.replaceAll(/^spegel: waiting.*\n/gm, '')], [0, '']);
    assert.match(
      stdout,
      /kept \/var\/lib\/spegel: the identity .* 'rm -r \/var\/lib\/private\/spegel \/var\/lib\/spegel'/,
    );
    assert.match(stdout, new RegExp(`its setting was STATIC_BOOTSTRAP_PEERS=${peers}`));
    const left = (await listing(host))
      .split('\n')
      .filter((line) => !/\/spegel(?:$|[ /])/.test(line));
    const was = before.split('\n');
    assert.deepEqual(
      left.filter((line) => !line.includes('/opt/spegel')),
      was.filter((line) => !line.includes('/opt/spegel')),
    );
    assert.match(
      await readFile(host.path('etc/containerd/certs.d', registry, 'hosts.toml'), 'utf8'),
      /^(?!.*127\.0\.0\.1)/s,
    );
    assert.equal((await spegel(host, 'uninstall', '--purge')).code, 0);
    assert.equal(await listing(host), before);
    const again = await spegel(host, 'uninstall', '--purge');
    assert.deepEqual([again.code, again.stdout], [0, 'nothing to do\n']);
    // systemd forgets units that are not there when it has nothing else to do.
    await waitUntil(
      'systemd knows no such unit',
      async () => !(await host.systemctl('list-units', '--all')).includes('spegel'),
    );
  });

  await t.test('a new host is asked who may take part, and a key outlives an uninstall', () =>
    assertNetworkDecision(host),
  );

  await t.test('where containerd lists two directories, a new installation does, too', async () => {
    const list = '/etc/containerd/certs.d:/etc/docker/certs.d';
    const config = host.path('etc/containerd/config.toml');
    await writeFile(
      config,
      `version = 3\n[plugins."io.containerd.cri.v1.images"]\nuse_local_image_pull = true\n[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "${list}"\n`,
    );
    const own = host.path('etc/docker/certs.d/own.example');
    await mkdir(own, { recursive: true });
    await writeFile(join(own, 'ca.crt'), 'of the administrator\n');
    await host.systemctl('restart', 'containerd');
    const { code, stderr } = await spegel(host, 'install', `--static-bootstrap-peers=${peers}`);
    assert.equal(code, 0, stderr);
    const environment = await readFile(host.path('etc/spegel/spegel.env'), 'utf8');
    assert.match(environment, new RegExp(`^CONTAINERD_REGISTRY_CONFIG_PATH='?${list}`, 'm'));
    const blocks = ['etc/docker/certs.d/_default', 'etc/docker/certs.d/own.example'];
    for (const directory of blocks) {
      const text = await readFile(host.path(directory, 'hosts.toml'), 'utf8');
      assert.match(text, /127\.0\.0\.1:5000/, directory);
    }
    await assert.rejects(readFile(host.path('etc/containerd/certs.d/_default/hosts.toml')));
    const check = await spegel(host, 'install', '--check');
    assert.deepEqual([check.code, check.stdout], [0, 'nothing to do\n'], check.stderr);
    assert.equal((await spegel(host, 'uninstall', '--purge')).code, 0);
    assert.deepEqual(await readdir(host.path('etc/docker/certs.d')), ['own.example']);
    assert.deepEqual(await readdir(own), ['ca.crt']);
  });
});
