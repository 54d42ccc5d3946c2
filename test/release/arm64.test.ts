/** The executable for arm64, built here and started under qemu: that it runs, not how fast. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { LocalNode } from '../../lab/fleet/local-node.ts';
import { makeImage } from '../../lab/images/images.ts';
import { run } from '../../lab/processes/exec.ts';
import { arm64Emulator } from '../../lab/programs/qemu-arm64.ts';
import { bundle } from '../../scripts/package/bundle.ts';
import { nodeBinary } from '../../scripts/package/node-binary.ts';
import { pack } from '../../scripts/package/pack.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const REGISTRY = '127.0.0.1:9';

const emulator = await arm64Emulator();
const skip = 'missing' in emulator ? emulator.missing : false;
const directory = await mkdtemp(join(tmpdir(), 'spegel-arm64-'));
after(() => rm(directory, { recursive: true, force: true }));
const arch = 'arm64';
const executable = join(directory, 'spegel');
const spegel = 'missing' in emulator ? [] : [...emulator, executable];

const exec = (...words: string[]) => run([...spegel, ...words]);

if (skip === false) {
  const source = join(directory, 'spegel.cjs');
  await bundle(ROOT, source);
  const parts = { root: ROOT, bundle: source, node: await nodeBinary(ROOT, arch), arch } as const;
  await pack(parts, executable, join(directory, 'work'));
}

test('arm64: version and help', { skip }, async () => {
  const { stdout } = await exec('version', '--format', 'json');
  assert.equal(JSON.parse(stdout).arch, 'arm64');
  assert.equal(JSON.parse(stdout).node, process.version);
  assert.match((await exec('help', 'registry')).stdout, /--registry-addr <address>/);
});

test('arm64: a registry on the layout store answers /v2/ and serves a blob', {
  skip,
}, async (t) => {
  const node = await LocalNode.start('node', directory, [], spegel);
  t.after(() => node.kill('SIGKILL'));
  assert.equal((await fetch(`${node.origin}/v2/`)).status, 200);
  const image = await makeImage(node.layout, {
    seed: 'arm64',
    layers: 1,
    layerMiB: 4,
    tag: `${REGISTRY}/team/app:v1`,
  });
  await node.until('spegel_advertised_keys', 4);
  const digest = image.manifests[0]?.layers[0]?.digest ?? '';
  const answer = await fetch(`${node.origin}/v2/team/app/blobs/${digest}?ns=${REGISTRY}`);
  const hash = createHash('sha256').update(Buffer.from(await answer.arrayBuffer()));
  assert.equal(`sha256:${hash.digest('hex')}`, digest);
  await node.kill('SIGTERM');
  assert.equal(node.process.exitCode, 0);
});

test('arm64: configuration writes hosts.toml, cleanup takes it out', { skip }, async () => {
  const certs = join(directory, 'certs.d');
  const own = join(certs, 'quay.io', 'hosts.toml');
  await mkdir(join(certs, 'quay.io'), { recursive: true });
  await writeFile(own, 'server = "https://quay.io"\n');
  const flag = ['--containerd-registry-config-path', certs];
  await exec('configuration', ...flag);
  assert.match(await readFile(own, 'utf8'), /\[host\."http:\/\/127\.0\.0\.1:5000"\]/);
  await exec('cleanup', ...flag);
  assert.equal(await readFile(own, 'utf8'), 'server = "https://quay.io"\n');
  assert.deepEqual(await readdir(certs), ['quay.io']);
});
