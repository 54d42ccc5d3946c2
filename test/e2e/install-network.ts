/** A host is told who may take part in its network, and a key outlives what is taken away. */
import assert from 'node:assert/strict';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { CommandError, waitUntil } from '../../lab/processes/exec.ts';
import { HOST_EXECUTABLE, listing, spegel } from '../../lab/systemd/bare-host.ts';
import type { SystemdHost } from '../../lab/systemd/systemd-host.ts';
import { INSTALLED } from '../support/install-check.ts';

const keyOf = (host: SystemdHost) => host.path('etc/spegel/network.key');
const settingsOf = (host: SystemdHost) => readFile(host.path('etc/spegel/spegel.env'), 'utf8');

/** The host is bare, and bare again. */
export async function assertNetworkDecision(host: SystemdHost): Promise<void> {
  const bare = await listing(host);
  await assertAsked(host, bare);
  const secret = await closed(host);
  await assertStaysClosed(host, secret);
  await assertOutlives(host, secret, bare);
}

async function assertAsked(host: SystemdHost, bare: string): Promise<void> {
  const asked = await host.run([HOST_EXECUTABLE, 'install']).catch((error: CommandError) => error);
  assert.ok(asked instanceof CommandError);
  assert.equal(asked.code, 2);
  assert.match(
    asked.stderr,
    /cannot install: expected a decision .*\n +--new-network-key .*\n +--network-key-file=.*\n +--open-network .*\n[\s\S]*\nspegel: nothing was touched\n$/,
  );
  assert.equal(await listing(host), bare);
}

/** Installs with a new key, and gives that. */
async function closed(host: SystemdHost): Promise<Buffer> {
  const key = keyOf(host);
  const made = await spegel(host, 'install', '--new-network-key');
  assert.equal(made.code, 0, made.stderr);
  const { mode, uid } = await stat(key);
  assert.deepEqual([mode & 0o777, uid], [0o600, 0]);
  assert.match(await settingsOf(host), /^NETWORK_KEY_FILE=\/etc\/spegel\/network\.key$/m);
  const line = new RegExp(
    `^ {4}ssh root@${host.net.address} cat /etc/spegel/network.key \\| ./spegel install --network-key-file=- --static-bootstrap-peers=${host.net.address}:5001$`,
    'm',
  );
  assert.match(made.stdout, line);
  assert.doesNotMatch(made.stdout + made.stderr, /[0-9a-f]{64}/);
  await waitUntil(
    'the network is closed',
    async () => (await host.linesWith('closed network')) > 0,
  );
  return readFile(key);
}

async function assertStaysClosed(host: SystemdHost, secret: Buffer): Promise<void> {
  // Its fingerprint is what the daemon says, which cannot read the file as root does.
  const shown = await spegel(host, 'key', 'show', '--json', INSTALLED);
  const { used } = JSON.parse(shown.stdout);
  assert.ok((await host.linesWith(`"used":"${used}"`)) > 0);
  assert.equal((await spegel(host, 'key', 'new', INSTALLED)).code, 0);
  await waitUntil('it is read', async () => (await host.linesWith('network keys changed')) > 0);
  await writeFile(keyOf(host), secret);

  // Settings that are gone open nothing.
  const opened = await host.linesWith('open network');
  await host.run(['mv', '/etc/spegel/spegel.env', '/etc/spegel/aside']);
  await host.systemctl('restart', 'spegel');
  assert.equal(await host.linesWith('open network'), opened);
  assert.ok((await host.linesWith('no setting names the key file')) > 0);
  await host.run(['mv', '/etc/spegel/aside', '/etc/spegel/spegel.env']);
}

async function assertOutlives(host: SystemdHost, secret: Buffer, bare: string): Promise<void> {
  const key = keyOf(host);
  const refused = await spegel(host, 'install', '--open-network');
  assert.equal(refused.code, 1, refused.stderr);
  assert.match(await settingsOf(host), /^NETWORK_KEY_FILE=/m);
  const gone = await spegel(host, 'uninstall');
  assert.match(gone.stdout, /^kept \/etc\/spegel\/network\.key: the key of its network/m);
  const words = ['install', '--start=false'];
  const again = await host.run([HOST_EXECUTABLE, ...words]);
  assert.match(again.stderr, /note: \/etc\/spegel\/network\.key is there, and no setting names it/);
  assert.match(await settingsOf(host), /^NETWORK_KEY_FILE=/m);
  assert.ok((await readFile(key)).equals(secret));
  assert.equal((await spegel(host, 'uninstall', '--purge')).code, 0);
  assert.equal(await listing(host), bare);

  await writeFile(host.path('opt/key'), secret);
  const pipe = `${HOST_EXECUTABLE} ${words.join(' ')} --network-key-file=- </opt/key`;
  const piped = await host.run(['sh', '-c', pipe]);
  assert.match(piped.stdout, /^added \/etc\/spegel\/network\.key$/m);
  assert.ok((await readFile(key)).equals(secret));
  await rm(host.path('opt/key'));
  assert.equal((await spegel(host, 'uninstall', '--purge')).code, 0);
  assert.equal(await listing(host), bare);
}
