/**
 * `spegel install --check` on a real systemd says what is: nothing is green over what is broken,
 * and each has its mend.
 */
import assert from 'node:assert/strict';
import { appendFile, chmod, chown, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { HOST_EXECUTABLE, listing, spegel } from '../../lab/systemd/bare-host.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';
import { checksOf, INSTALLED } from '../support/install-check.ts';

const skip = (await labMissing()) || (await systemdMissing());

const ENV = 'etc/spegel/spegel.env';
const FLAGS = ['--registry-addr=:5010', '--router-addr=:5011', '--metrics-addr=:9091'];
/** containerd's config_path is not what this is about. */
const CONFIG = `version = 3
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "/etc/containerd/certs.d"
`;

test('install --check tells what is', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 }, t);
  const peer = lab.host(0);
  const { registry } = lab.upstream;
  const host = await SystemdHost.create(lab, 'tells', { isBare: true });
  await host.addRegistry(registry);
  await mkdir(host.path('etc/containerd'), { recursive: true });
  await writeFile(host.path('etc/containerd/config.toml'), CONFIG);
  await lab.startSpegel();
  await host.boot();
  await host.systemctl('enable', '--now', 'containerd');
  const peers = `--static-bootstrap-peers=${peer.address}:5001`;

  const { assertFine, install, look, only, take, taken } = checksOf(host);
  const sh = (line = '') => host.run(['sh', '-c', line]);
  const hosts = host.path('etc/containerd/certs.d', registry, 'hosts.toml');

  await t.test('ports that are taken: all of them are named with their flags first', async () => {
    for (const port of [5000, 5001, 9090]) await take(`taker${port}`, port);
    for (const port of [5000, 5001, 9090]) await taken(port);
    const before = await listing(host);
    const { code, stderr } = await spegel(host, 'install', peers);
    assert.equal(code, 1);
    for (const [flag, port] of [
      ['--registry-addr', 5000],
      ['--router-addr', 5001],
      ['--metrics-addr', 9090],
    ]) {
      const text = `expected port ${port} to be free for \\S+, got spegel \\(pid \\d+\\)`;
      assert.match(
        stderr,
        new RegExp(
          `cannot install: ${text}.*\n    ${HOST_EXECUTABLE} install ${peers} .*${flag}=:\\d+`,
        ),
      );
    }
    const checked = await spegel(host, 'install', '--check');
    assert.equal(checked.code, 3);
    assert.match(checked.stderr, /spegel: in the way: expected port 5000/);
    assert.doesNotMatch(checked.stderr, /cannot install/);
    assert.equal(await listing(host), before);
    const [command] = /^ *(\S*spegel install .*)$/m.exec(stderr)?.slice(1) ?? [];
    assert.match(command ?? '', /=:5010 .*=:5011 .*=:\d+$/);
    await sh(command);
    assert.match((await host.settings())[registry]?.text ?? '', /127\.0\.0\.1:5010/);
  });

  await t.test('the flags that were named do it, at one call', async () => {
    const { code, stderr } = await spegel(host, 'install', ...FLAGS, peers);
    assert.equal(code, 0, stderr);
    assert.match((await host.settings())[registry]?.text ?? '', /127\.0\.0\.1:5010/);
    await assertFine();
    for (const port of [5000, 5001, 9090]) await host.systemctl('stop', `taker${port}`);
  });

  await t.test('a flag changes its line, and not one byte more', async () => {
    const text = (await readFile(host.path(ENV), 'utf8')).replace(
      '#ADVERTISE_TTL',
      '# mine\r\n#ADVERTISE_TTL',
    );
    await writeFile(host.path(ENV), `${text}ROUTER_ADDR=:5012\nTAG_SOURCE=upstream`);
    await chmod(host.path(ENV), 0o640);
    await chown(host.path(ENV), 0, 1);
    const stdout = await install('--router-addr=:5011');
    assert.match(
      stdout,
      /spegel\.env: ROUTER_ADDR=:5011 \(was :5012\)\n.*spegel\.service runs again/s,
    );
    const after = await readFile(host.path(ENV), 'utf8');
    assert.equal(after, `${text}ROUTER_ADDR=:5011\nTAG_SOURCE=upstream`);
    const { mode, gid } = await stat(host.path(ENV));
    assert.deepEqual([mode & 0o777, gid], [0o640, 1]);
    await assertFine();
    const refused = await spegel(host, 'install', '--bootstrap-kind=dns');
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /cannot install: --bootstrap-kind dns: expected --dns-bootstrap-domain .* that comes of --bootstrap-kind=dns/,
    );
    assert.doesNotMatch(refused.stderr, /cannot install: .*spegel\.env|systemctl/);
    assert.equal(await readFile(host.path(ENV), 'utf8'), after);
  });

  await t.test('edited settings: both checks say so, and install puts them in force', async () => {
    await appendFile(host.path(ENV), '\nDIAL_TIMEOUT=2s\nADVERTISE_TTL=20m\n');
    const { code, said } = await look();
    assert.deepEqual([code, said.map(({ name }) => name).sort()], [3, ['hosts', 'stale-settings']]);
    assert.ok(
      Math.abs(
        Date.parse(said.find(({ name }) => name === 'stale-settings')?.since ?? '') - Date.now(),
      ) < 60_000,
    );
    assert.equal((await spegel(host, 'configuration', '--check')).code, 3);
    assert.match(await install(), /^spegel\.service runs again/m);
    assert.match((await host.settings())[registry]?.text ?? '', /"2s"/);
    await appendFile(host.path(ENV), 'DIAL_TIMEOUT=1s\n');
    const { commands } = await only('hosts', /to be as .*spegel\.env says/);
    assert.match(await install(), /^spegel-configuration\.service runs again/m);
    await appendFile(host.path(ENV), 'DIAL_TIMEOUT=3s\n');
    await sh(commands.join(' && '));
    await assertFine();
    assert.equal((await spegel(host, 'configuration', '--check')).code, 0);
  });

  await t.test(
    'a configuration by hand with other settings is told, and mended by install',
    async () => {
      // Where a unit puts settings back, it is not to be faster than the look.
      await host.systemctl('stop', 'spegel-settings.path').catch(() => {});
      await host.run([
        HOST_EXECUTABLE,
        'configuration',
        '--registry-addr=:5010',
        '--dial-timeout=7s',
      ]);
      await only('hosts', /got others: \S+hosts\.toml/);
      assert.match(await install(), /^spegel-configuration\.service runs again/m);
      await assertFine();
    },
  );

  await t.test('a block that was edited, and a file that no block can join', async () => {
    const text = await readFile(hosts, 'utf8');
    await writeFile(hosts, text.replace('"3s"', '"4s"'));
    const edited = await only('left-alone', /our block was edited/);
    assert.ok(edited.since !== undefined);
    const { stderr } = await spegel(host, 'install', INSTALLED);
    assert.match(stderr, /to do: .*our block was edited/);
    assert.equal((await spegel(host, 'configuration', '--check')).code, 1);
    await sh(edited.commands.join(' && '));
    await assertFine();
    const other = host.path('etc/containerd/certs.d/odd.corp');
    await mkdir(other);
    await writeFile(`${other}/hosts.toml`, 'server = [\n');
    const { said } = await look();
    assert.match(said.at(-1)?.text ?? '', /odd\.corp\/hosts\.toml, got a file that is left alone/);
    await rm(other, { recursive: true });
  });

  await t.test('what no daemon starts with is told before anything is restarted', async () => {
    const text = await readFile(host.path(ENV), 'utf8');
    const { pid } = await host.state();
    await writeFile(
      host.path(ENV),
      `${text}MIRROR_CLIENTS=host,any\nNETWORK_KEY_FILE=/etc/spegel/key\n`,
    );
    const { said } = await look();
    assert.deepEqual(said.map(({ kind, name }) => `${kind} ${name}`).slice(0, 2), [
      'obstacle settings',
      'obstacle network-key',
    ]);
    const { code, stderr } = await spegel(host, 'install', INSTALLED);
    assert.equal(code, 1);
    assert.match(stderr, /cannot install: .*spegel\.env: --mirror-clients: expected any, host or/);
    assert.equal((await host.state()).pid, pid);
    await writeFile(host.path(ENV), `${text}ROUTER_ADR=:1\n`);
    const { commands } = await only('settings', /got ROUTER_ADR, .*ROUTER_ADDR is one/);
    await writeFile(host.path(ENV), `${text}RESOLVE_TAG=true\n`);
    await sh((await only('settings', /RESOLVE_TAGS is one/)).commands[0]);
    assert.match(await readFile(host.path(ENV), 'utf8'), /^RESOLVE_TAGS=true$/m);
    assert.match(commands[0] ?? '', /^sed -i/);
    await writeFile(host.path(ENV), text);
    await assertFine();
  });

  await t.test("a peer's port that is not reached, and no peer at all", async () => {
    for (const [port, what] of [
      [5000, 'registry'],
      [5001, 'router'],
    ] as const) {
      // The open connection stays: without it there is no peer, which is another finding.
      const undo = await host.net.bar(peer.address, port, 'refuse');
      try {
        await only(
          'peer-port',
          new RegExp(`${what} of a peer to be reached at ${peer.address}:${port}, got ECONN`),
        );
      } finally {
        await undo();
      }
    }
    await peer.spegel.stop();
    await host.systemctl('restart', 'spegel');
    await host.untilActive('spegel-configuration.service');
    const { code, said } = await look();
    assert.deepEqual([code, said.map(({ name }) => name)], [3, ['peers', 'peer-port']]);
    await lab.startSpegel();
    await waitUntil('it has its peer again', async () => (await look()).code === 0, {
      timeoutMs: 60_000,
      everyMs: 1_000,
    });
  });

  await t.test('a port that somebody has while the service is in a restart loop', async () => {
    await take('taker', 5013);
    await taken(5013);
    const text = await readFile(host.path(ENV), 'utf8');
    await appendFile(host.path(ENV), 'ROUTER_ADDR=:5013\n');
    await host.systemctl('restart', '--no-block', 'spegel');
    for (let count = 0; count < 4; count += 1) {
      const { code, said } = await look();
      const port = said.find(({ name }) => name === 'port');
      assert.match(port?.text ?? '', /port 5013 .* got spegel \(pid \d+\)/);
      assert.equal(code, 3);
      // Between two tries the metrics port may be that of a daemon that is just going.
      assert.match(port?.commands[0] ?? '', /^spegel install --router-addr=:5023\b/);
    }
    await host.systemctl('stop', 'taker');
    await writeFile(host.path(ENV), text);
    await install();
    await assertFine();
  });

  await t.test('a socket that was stopped or restarted by hand', async () => {
    for (const verb of ['stop', 'restart']) {
      // The restart of it alone fails.
      await host.systemctl(verb, 'spegel.socket').catch(() => {});
      const { code, said } = await look();
      assert.equal(code, 3, verb);
      await sh(said.at(-1)?.commands[0]?.replace(/^spegel/, INSTALLED.executable));
      await assertFine();
    }
  });

  await t.test('targets that lead elsewhere', async () => {
    const text = await readFile(host.path(ENV), 'utf8');
    await appendFile(host.path('etc/hosts'), `${peer.address} elsewhere.corp\n`);
    await appendFile(host.path(ENV), 'MIRROR_TARGETS=http://elsewhere.corp:5000\n');
    await host.systemctl('restart', 'spegel-configuration');
    assert.ok((await look()).said.some(({ name }) => name === 'mirror-targets'));
    await writeFile(host.path(ENV), `${text}MIRROR_TARGETS=http://elsewhere.corp:5010\n`);
    await host.systemctl('restart', 'spegel-configuration');
    await only('mirror-targets', /got .* at http:\/\/elsewhere\.corp:5010/);
    await writeFile(host.path(ENV), text);
    await install();
    await assertFine();
  });

  await t.test('an upgrade says from which version to which', async () => {
    const fake = async (version: string) => {
      const path = host.path('opt/fake');
      await writeFile(path, `#!/bin/sh\necho 'spegel ${version} (commit x)'\n`, { mode: 0o755 });
      await host.run(['mv', '/opt/fake', INSTALLED.executable]);
    };
    const from = async (version: string) => {
      await fake(version);
      const { stdout: would } = await spegel(host, 'install', '--check', '--json');
      const { stdout } = await spegel(host, 'install');
      return { said: stdout, version: JSON.parse(would).version };
    };
    const { said, version } = await from('0.0.9');
    assert.match(said, /^upgraded from 0\.0\.9 to \S+$/m);
    assert.deepEqual([version.kind, version.from], ['upgrade', '0.0.9']);
    assert.match((await from('9.9.9')).said, /^went back from 9\.9\.9 to \S+, which is older$/m);
    await host.run(['cp', HOST_EXECUTABLE, '/opt/copy']);
    await host.run(['mv', '/opt/copy', INSTALLED.executable]);
    await only('stale-executable', /to run \/usr\/local\/bin\/spegel as it is now/);
    await install();
    await assertFine();
  });

  await t.test('uninstall --dry-run says what uninstall does, and changes nothing', async () => {
    await writeFile(host.path('etc/spegel/mine'), '');
    const before = await listing(host);
    const dry = await spegel(host, 'uninstall', '--dry-run', '--json');
    assert.equal(dry.code, 0, dry.stderr);
    const text = await spegel(host, 'uninstall', '--dry-run', '--purge');
    assert.match(text.stdout, /^would remove \/usr\/local\/bin\/spegel$/m);
    assert.match(text.stdout, /^would remove \/var\/lib\/spegel$/m);
    assert.match(text.stdout, /^would keep \/etc\/spegel\/mine: it was not put there by install$/m);
    assert.equal(await listing(host), before);
    await assertFine();
    const { stdout } = await spegel(host, 'uninstall', '--json');
    assert.deepEqual(JSON.parse(dry.stdout), JSON.parse(stdout));
  });
});
