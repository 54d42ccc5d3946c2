/** What is special about a directory: it may be absent, half written, or written by others. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { digestsOf } from '../../lab/fleet/fleet.ts';
import { copyWithSkopeo, makeWithUmoci } from '../../lab/images/foreign-layouts.ts';
import { type Layout, makeImage, makeIndex } from '../../lab/images/images.ts';
import { run, waitUntil } from '../../lab/processes/exec.ts';
import { provisionLab } from '../../lab/programs/programs.ts';
import { delay } from '../../lib/base/abortable.ts';
import { silentLogger } from '../../lib/base/log.ts';
import type { Digest } from '../../lib/oci/digest.ts';
import { OciLayoutStore } from '../../lib/store/oci-layout-store.ts';
import { Watched } from '../contract/watched.ts';

const signal = new AbortController().signal;
const filters = { mirroredRegistries: [], registryFilters: [] };
const tools = await provisionLab();
const skip = 'missing' in tools ? `no lab: ${tools.missing}` : false;

async function scratch(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-layout-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function follow(t: TestContext, path: string) {
  const store = new OciLayoutStore({ log: silentLogger }, { path, filters });
  t.after(() => store.stop());
  await store.start(signal);
  return { store, watched: new Watched(store, t) };
}

const small = (dir: string, seed = 'one') =>
  makeImage(dir, { seed, layers: 2, layerBytes: 20_000 });
const has = (watched: Watched, image: Layout) => watched.untilHas(digestsOf(image));

test('a directory that appears later is read; one that is removed takes its content along', async (t) => {
  const dir = await scratch(t);
  const { store, watched } = await follow(t, join(dir, 'layout'));
  await delay(200);
  assert.equal(store.isReady(), false);
  assert.equal(watched.events.length, 0);
  const image = await small(join(dir, 'made'));
  await rename(image.dir, join(dir, 'layout'));
  await has(watched, image);
  assert.equal(store.isReady(), true);
  await rename(join(dir, 'layout'), join(dir, 'elsewhere'));
  assert.equal(await store.source(image.digest as Digest, signal), undefined);
  await watched.untilGone(digestsOf(image), 40_000);
});

test('a half-written index.json changes nothing, the whole one does', async (t) => {
  const dir = await scratch(t);
  const image = await small(join(dir, 'layout'));
  const { store, watched } = await follow(t, image.dir);
  await has(watched, image);
  const index = join(image.dir, 'index.json');
  const text = await readFile(index, 'utf8');
  for (const part of ['', text.slice(0, 40), 'null']) {
    await writeFile(index, part);
    await delay(250);
    assert.ok(watched.has(digestsOf(image)));
    assert.equal(store.isReady(), true);
  }
  await writeFile(index, text.replace('"manifests":[', '"manifests":[null,'));
  const second = await small(join(dir, 'second'), 'two');
  await run(['cp', '-r', join(second.dir, 'blobs'), image.dir]);
  const [old, fresh] = [
    JSON.parse(text),
    JSON.parse(await readFile(join(second.dir, 'index.json'), 'utf8')),
  ];
  await writeFile(
    index,
    JSON.stringify({ ...old, manifests: [...old.manifests, ...fresh.manifests] }),
  );
  await has(watched, second);
  assert.ok(watched.has(digestsOf(image)));
});

test('a blob that is still being written is not here, then it is', async (t) => {
  const dir = await scratch(t);
  const image = await small(join(dir, 'layout'));
  const layer = image.manifests[0]?.layers[1]?.digest as Digest;
  const file = join(image.dir, 'blobs', ...layer.split(':'));
  const content = await readFile(file);
  await truncate(file, 100);
  const { store, watched } = await follow(t, image.dir);
  await watched.untilHas([image.digest]);
  assert.ok(!watched.keys.has(layer));
  assert.equal(await store.source(layer, signal), undefined);
  await writeFile(file, content);
  await watched.untilHas([layer]);
  await truncate(file, 100);
  assert.equal(await store.source(layer, signal), undefined);
});

test('a nested index is followed; content of another platform is shared if it is here', async (t) => {
  const dir = await scratch(t);
  const image = await makeIndex(join(dir, 'layout'), {
    seed: 'multi',
    layers: 1,
    layerBytes: 9_000,
  });
  const [mine, other] = image.manifests;
  assert.ok(mine && other);
  await rm(join(image.dir, 'blobs', ...(other.layers[0]?.digest ?? '').split(':')));
  const { watched } = await follow(t, image.dir);
  await watched.untilHas([image.digest, mine.digest, other.digest, other.config.digest]);
  assert.ok(!watched.keys.has(other.layers[0]?.digest ?? ''));
});

test('files that the index does not lead to are not shared, and paths cannot leave the directory', async (t) => {
  const dir = await scratch(t);
  const image = await small(join(dir, 'layout'));
  const secret = `sha256:${'b'.repeat(64)}` as const;
  await writeFile(join(image.dir, 'blobs', 'sha256', 'b'.repeat(64)), 'secret');
  const { store, watched } = await follow(t, image.dir);
  await has(watched, image);
  assert.equal(await store.source(secret, signal), undefined);
  assert.equal(await store.source('sha256:../../index.json' as Digest, signal), undefined);
});

test('a path that is not a directory is refused', async (t) => {
  const dir = await scratch(t);
  await mkdir(join(dir, 'd'));
  await writeFile(join(dir, 'd', 'file'), '');
  for (const path of [join(dir, 'd', 'file'), join(dir, 'd', 'file', 'below')]) {
    await assert.rejects(follow(t, path), { code: 'ERR_STORE' });
  }
});

test('a layout of umoci, a copy of it by skopeo, with a tag and with a full name', {
  skip,
}, async (t) => {
  if ('missing' in tools) return;
  const dir = await scratch(t);
  await writeFile(join(dir, 'file'), 'content');
  const made = await makeWithUmoci(tools, join(dir, 'umoci'), join(dir, 'file'));
  const { watched } = await follow(t, made.dir);
  await has(watched, made);
  const path = join(dir, 'skopeo');
  const copy = await follow(t, path);
  await copyWithSkopeo(tools, made, path);
  await has(copy.watched, made);
  assert.equal(copy.watched.keys.size, digestsOf(made).length, 'a bare tag is no key');
  const name = 'registry.test/team/app:v7';
  await run([
    tools.skopeo,
    '--insecure-policy',
    'copy',
    '--quiet',
    `oci:${made.dir}:v1`,
    `oci:${path}:${name}`,
  ]);
  await copy.watched.untilHas([name]);
  assert.equal(await copy.store.resolve(name, signal), made.digest);
  await waitUntil('it is ready', () => copy.store.isReady());
});
