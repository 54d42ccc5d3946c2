/** docs/removal.md, its commands as they stand, on a host that has the addresses that they name. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { run, waitUntil } from '../../lab/processes/exec.ts';
import { spegel } from '../../lab/systemd/bare-host.ts';
import { SystemdHost, systemdMissing } from '../../lab/systemd/systemd-host.ts';

const skip = (await labMissing()) || (await systemdMissing());
const recipe = readFileSync(join(import.meta.dirname, '../../docs/removal.md'), 'utf8');
const blocks = [...recipe.matchAll(/^ {3}```\n([\s\S]*?)^ {3}```$/gm)].map(([, text = '']) => text);

const SETTINGS = 'etc/containerd/certs.d/_default/hosts.toml';
/** The three of the document. */
const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];

test('a fleet with systemd, from stop to uninstall', { skip, timeout: 240_000 }, async (t) => {
  assert.equal(blocks.length, 4);
  const [stop = '', cleanUp = '', wait = '', remove = ''] = blocks;
  const lab = await Lab.create({ hosts: 0 }, t);
  const host = await SystemdHost.create(lab, 'gone', { isBare: true });
  await host.boot();
  for (const address of ADDRESSES) {
    await run([lab.tools.ip, '-n', host.net.ns, 'addr', 'add', `${address}/32`, 'dev', 'lo']);
  }
  await host.systemctl('enable', '--now', 'containerd');
  assert.equal((await spegel(host, 'install')).code, 0);
  await waitUntil('the settings are there', () => existsSync(host.path(SETTINGS)));

  await t.test('its identity is of this machine, and of one daemon', async () => {
    const data = host.path('var/lib/private/spegel');
    for (const name of ['lock', 'machine-id', 'private.key']) {
      assert.equal(statSync(join(data, name)).mode & 0o777, 0o600, name);
    }
    const key = readFileSync(join(data, 'private.key'), 'utf8');
    const second = await spegel(host, 'registry', '--registry-addr=:6000', '--router-addr=:6001');
    assert.equal(second.code, 1);
    const { pid } = await host.state();
    assert.match(second.stderr, new RegExp(`process id ${pid}, which runs`));
    await host.systemctl('restart', 'spegel');
    assert.equal(readFileSync(join(data, 'private.key'), 'utf8'), key);
    // As the copy of a machine is at its first boot.
    writeFileSync(host.path('etc/machine-id'), `${'ab'.repeat(16)}\n`);
    await host.systemctl('restart', 'spegel');
    assert.notEqual(readFileSync(join(data, 'private.key'), 'utf8'), key);
    // Merged: the journal looks for files of the machine that it is now.
    const { stdout } = await host.run(['journalctl', '--merge', '--no-pager']);
    assert.equal(stdout.match(/identity key was made for another machine/g)?.length, 1);
    await waitUntil('the settings are there', () => existsSync(host.path(SETTINGS)));
  });

  const probe = async (port: number) => {
    const flags = ['--probe-endpoint', `10.0.0.1:${port}`, '--threshold=1', '--timeout=1500ms'];
    return await spegel(host, 'cleanup-wait', ...flags);
  };
  const sh = (text: string) =>
    host.run(['sh', '-exc', text], { env: { PATH: '/usr/local/bin:/usr/bin:/bin' } });

  const serving = await probe(5000);
  assert.equal(serving.code, 1);
  assert.match(serving.stderr, /10\.0\.0\.1 \(expected a spegel cleanup, got a registry\)/);

  await sh(stop);
  await waitUntil('the settings are gone', () => !existsSync(host.path(SETTINGS)));
  await sh(cleanUp);
  const { stdout } = await sh(wait);
  assert.match(stdout, /done: all 3 answered, 3 of 3 rounds in a row\n$/);

  // Somebody writes them again while it answers.
  await host.run(['spegel', 'configuration', '--mirror-targets=http://10.9.9.9:5000']);
  const back = await probe(8080);
  assert.equal(back.code, 1);
  assert.match(back.stderr, /the settings are back in \/etc\/containerd\/certs\.d\/_default/);
  await host.run(['spegel', 'cleanup']);
  assert.equal((await probe(8080)).code, 0);

  await sh(remove);
  for (const path of ['usr/local/bin/spegel', 'etc/spegel', 'var/lib/spegel', SETTINGS]) {
    assert.ok(!existsSync(host.path(path)), path);
  }
});
