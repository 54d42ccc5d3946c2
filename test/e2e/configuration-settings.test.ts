/** What the flags of `spegel configuration` make containerd do. */
import assert from 'node:assert/strict';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { assertSameTree, file } from '../hosts/tree.ts';
import { cleanUp, configure } from '../support/command.ts';
import {
  A,
  B,
  type PullOracle,
  type Round,
  type Row,
  startOracles,
  UP,
  VERSIONS,
} from '../support/pull-oracle.ts';

const skip = await labMissing();
const CAPABLE = 'capabilities = ["pull", "resolve"]\n';
const OWN: Row = {
  name: 'own',
  files: { 'R/hosts.toml': file(`server = "${UP}"\n\n[host."${A}"]\n${CAPABLE}`) },
};
const MADE: Row = { name: 'made', files: {} };
const ROUNDS = ['two', 'auth', 'digests', 'aside', 'blackhole', 'after'];
const AUTHORIZATION = `Basic ${Buffer.from('mirror-user:geheim "ö"').toString('base64')}`;
/** A pull asks four times; without the timeout each waits 30 s. */
const BLACKHOLE_MS = 8000;

test('settings as containerd sees them', { skip }, async (t) => {
  const containerd = VERSIONS.map((version) => ({ version, cri: true }));
  const lab = await Lab.create({ hosts: 3, containerd }, t);
  const oracles = await startOracles(lab, [OWN, MADE], ROUNDS);
  const secrets = join(lab.dir, 'basic-auth');
  await mkdir(secrets);
  await writeFile(join(secrets, 'username'), 'mirror-user\n');
  await writeFile(join(secrets, 'password'), 'geheim "ö"\n');
  await Promise.all(oracles.map((oracle) => checkHost(oracle, secrets)));
});

async function checkHost(oracle: PullOracle, secrets: string): Promise<void> {
  await oracle.plant();
  const tree = oracle.tree();
  const apply = (...flags: string[]) => applied(oracle, flags);

  await apply(`--mirror-targets=http://127.0.0.1:5000,${B}`);
  checkOrder(await oracle.round('two'), ['M', 'B', 'A', 'UP'], ['M', 'B', 'REG']);

  await apply(`--basic-auth-path=${secrets}`);
  const auth = await oracle.round('auth');
  checkOrder(auth, ['M', 'A', 'UP'], ['M', 'REG']);
  for (const { by, headers } of auth.requests) {
    assert.equal(headers.authorization, by === 'M' ? AUTHORIZATION : undefined, by);
  }
  for (const row of [OWN, MADE]) {
    assert.equal((await stat(oracle.file(row))).mode & 0o777, 0o600, row.name);
  }

  await apply('--resolve-tags=false');
  const digests = await oracle.round('digests');
  assert.deepEqual(digests.pulls.get('own')?.tag, ['A', 'UP']);
  assert.deepEqual(digests.pulls.get('own')?.blob, ['M', 'A', 'UP']);
  assert.deepEqual(digests.pulls.get('made')?.tag, ['REG']);
  assert.deepEqual(digests.pulls.get('made')?.blob, ['M', 'REG']);
  assert.ok(digests.requests.every(({ headers }) => headers.authorization === undefined));

  await apply('--prepend-existing=false');
  checkOrder(await oracle.round('aside'), ['M', 'REG'], ['M', 'REG']);

  await apply('--dial-timeout=500ms');
  if (oracle.host.containerd.version === '2.1') {
    const undo = await oracle.host.net.filter(5000, 'drop');
    const start = performance.now();
    checkOrder(await oracle.round('blackhole'), ['A', 'UP'], ['REG']);
    const tookMs = performance.now() - start;
    await undo();
    assert.ok(tookMs > 500 && tookMs < BLACKHOLE_MS, `${tookMs} ms`);
  }

  const { code, stderr } = await cleanUp(oracle.hostsDir);
  assert.equal(code, 0, stderr);
  assertSameTree(oracle.tree(), tree, 'after cleanup');
  checkOrder(await oracle.round('after'), ['A', 'UP'], ['REG']);
}

async function applied(oracle: PullOracle, flags: readonly string[]): Promise<void> {
  const listed = [OWN, MADE].map((row) => `--mirrored-registries=https://${oracle.registry(row)}`);
  const { code, stderr } = await configure(oracle.hostsDir, ...listed, ...flags);
  assert.equal(code, 0, stderr);
}

function checkOrder(round: Round, own: readonly string[], made: readonly string[]): void {
  const expected = [
    ['own', { ok: true, tag: own, blob: own, error: '' }],
    ['made', { ok: true, tag: made, blob: made, error: '' }],
  ] as const;
  assert.deepEqual(round.pulls, new Map(expected));
  assert.equal(round.undecoded, 0);
}
