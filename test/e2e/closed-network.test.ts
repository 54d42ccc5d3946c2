/**
 * A fleet that a key closes, as processes: who has none neither finds nor gets anything, and the
 * key can change.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { EXECUTABLE } from '../../lab/executable.ts';
import { LocalNode } from '../../lab/fleet/local-node.ts';
import { makeImage } from '../../lab/images/images.ts';
import { run, waitUntil } from '../../lab/processes/exec.ts';

const REGISTRY = '127.0.0.1:9';
const MIRRORED = { 'X-Spegel-Mirrored': 'true' };
const [OLD, OTHER] = ['1a', '3c'].map((byte) => byte.repeat(32));

async function writeKeys(path: string, ...keys: (string | undefined)[]): Promise<void> {
  await writeFile(`${path}.new`, `# of this fleet\n${keys.join('\n')}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** A fleet below a directory of its own; `start` gives a node the keys, which may be none. */
async function fleet(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-closed-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const keyFile = (name: string) => join(directory, `${name}.key`);
  const start = async (name: string, peers: LocalNode[], ...keys: (string | undefined)[]) => {
    if (keys.length > 0) await writeKeys(keyFile(name), ...keys);
    const more = keys.length > 0 ? `--network-key-file=${keyFile(name)}` : '';
    const command = ['sh', '-c', `exec "$0" "$@" ${more}`, EXECUTABLE];
    const node = await LocalNode.start(name, directory, peers, command);
    t.after(() => node.kill('SIGKILL'));
    return node;
  };
  const log = (name: string) => readFile(join(directory, name, 'log'), 'utf8');
  return { start, log, keyFile };
}

async function statusOf(node: LocalNode, path: string, headers = {}): Promise<number> {
  const response = await fetch(node.origin + path, { headers });
  await response.arrayBuffer();
  return response.status;
}

const KEPT_OUT = /a host with(out a| another) key was kept out/;

/**
 * That a node has no peers says something only when it has tried: it tells so after some seconds of
 * trying.
 */
async function untilKeptOut(name: string, log: (name: string) => Promise<string>): Promise<void> {
  const hasTried = async () => /no peer reached/.test(await log(name));
  await waitUntil(`${name} has tried`, hasTried);
}

const shape = { layers: 1, layerMiB: 1, tag: `${REGISTRY}/team/app:v1` };
const layerPath = (digest = '') => `/v2/team/app/blobs/${digest}?ns=${REGISTRY}`;
const TAG_PATH = `/v2/team/app/manifests/v1?ns=${REGISTRY}`;

test('a closed fleet shares among itself, and with nobody else', async (t) => {
  const { start, log } = await fleet(t);
  const holder = await start('holder', [], OLD);
  const image = await makeImage(holder.layout, { ...shape, seed: 'closed' });
  await holder.until('spegel_advertised_keys', 4);
  const [member, stranger, other] = await Promise.all([
    start('member', [holder], OLD),
    start('stranger', [holder]),
    start('other', [holder], OTHER),
  ]);
  const path = layerPath(image.manifests[0]?.layers[0]?.digest);
  await member.until('spegel_peers', 1);
  // As containerd asks on the same host: with nothing.
  await waitUntil('the layer is found', async () => (await statusOf(member, path)) === 200);
  assert.equal(await statusOf(member, TAG_PATH), 200, 'a tag while the upstream is down');
  assert.equal(await statusOf(holder, path), 200);
  for (const outside of [stranger, other]) {
    await untilKeptOut(outside.name, log);
    assert.equal(await statusOf(outside, path), 404, outside.name);
    assert.equal(await outside.metric('spegel_peers'), 0, outside.name);
  }
  for (const asked of ['/v2/', path, TAG_PATH]) {
    assert.equal(await statusOf(holder, asked, MIRRORED), 403, asked);
  }
  assert.equal(await statusOf(holder, '/readyz', MIRRORED), 200);
  assert.equal(await holder.metric('spegel_peers'), 1);
  assert.match(await log('holder'), /closed network: only hosts with a key.*"accepted":1/);
  assert.match(await log('holder'), KEPT_OUT);
  assert.match(await log('stranger'), /open network: every host that reaches the ports/);
  for (const name of ['holder', 'member', 'other']) {
    assert.doesNotMatch(await log(name), /1a1a1a|3c3c3c/, 'a key is in the log');
  }
});

test('a key is changed without a gap, and the old one is worth nothing then', async (t) => {
  const { start, log, keyFile } = await fleet(t);
  const holder = await start('holder', [], OLD);
  const image = await makeImage(holder.layout, { ...shape, seed: 'rotation' });
  await holder.until('spegel_advertised_keys', 4);
  const member = await start('member', [holder], OLD);
  const path = layerPath(image.manifests[0]?.layers[0]?.digest);
  await waitUntil('the layer is found', async () => (await statusOf(member, path)) === 200);
  const key = async (name: string, ...words: string[]) => {
    const { stdout } = await run([
      EXECUTABLE,
      'key',
      ...words,
      '--json',
      `--network-key-file=${keyFile(name)}`,
    ]);
    return JSON.parse(stdout) as { used: string; others: string[] };
  };
  let fresh = '';
  const steps = [
    async (name: string) => {
      // One key, made on the first host, and taken from there.
      const source = name === 'holder' ? ['new'] : ['add', `--from=${keyFile('holder')}`];
      fresh = (await key(name, ...source)).others[0] ?? '';
    },
    (name: string) => key(name, 'use', `--key=${fresh}`),
    async (name: string) => key(name, 'remove', `--key=${(await key(name, 'show')).others}`),
  ];
  let changes = 0;
  for (const step of steps) {
    changes += 1;
    for (const node of [holder, member]) {
      await step(node.name);
      node.process.kill('SIGHUP');
      const changed = async () =>
        (await log(node.name)).split('network keys changed').length > changes;
      await waitUntil(`${node.name} has read its keys`, changed);
      assert.equal(await statusOf(member, path), 200, 'the layer was lost');
    }
  }
  const late = await start('late', [holder], OLD);
  await untilKeptOut(late.name, log);
  assert.match(await log('holder'), KEPT_OUT);
  assert.equal(await late.metric('spegel_peers'), 0);
  assert.equal(await statusOf(late, path), 404);
});

test('a key file that others can read ends the start', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-closed-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'key');
  await writeFile(path, `${OLD}\n`, { mode: 0o644 });
  const args = ['registry', '--content-store=oci-layout', `--oci-layout-path=${directory}`];
  const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
    const options = { env: { PATH: process.env.PATH }, timeout: 15_000 };
    execFile(EXECUTABLE, [...args, `--network-key-file=${path}`], options, (error, _, stderr) =>
      resolve({ code: error?.code, stderr }),
    );
  });
  assert.equal(code, 1, stderr);
  assert.match(stderr, /expected a file of mode 0600, got mode 0644; chmod 600/);
  assert.doesNotMatch(stderr, /1a1a1a/);
});
