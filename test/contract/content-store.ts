/** Tests that hold for every ContentStore. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { digestsOf } from '../../lab/fleet/fleet.ts';
import type { Layout } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { delay } from '../../lib/base/abortable.ts';
import type { Part } from '../../lib/base/lifecycle.ts';
import { type Digest, digestOf, isDigest } from '../../lib/oci/digest.ts';
import type { FilterSettings } from '../../lib/oci/filters.ts';
import { OCI_MANIFEST } from '../../lib/oci/media-types.ts';
import { readAllBytes } from '../../lib/store/read-all-bytes.ts';
import type { ContentStore } from '../../lib/store/store.ts';
import { Watched } from './watched.ts';

/** A store that is not started yet, and functions that change its content. */
export interface Harness {
  readonly store: ContentStore & Part;
  /** Adds an image as `<registry>/<repository>:<tag>`. */
  add(image: Layout, reference: string): Promise<void>;
  remove(reference: string): Promise<void>;
  /** Removes the file of a blob without an event. */
  lose(digest: string): Promise<void>;
  /** Makes an image of one manifest, a config and two layers, which is nowhere yet. */
  makeImage(seed: string): Promise<Layout>;
}

export interface Contract {
  readonly name: string;
  readonly skip: string | false;
  create(t: TestContext, filters: FilterSettings): Promise<Harness>;
}

const signal = new AbortController().signal;
const ALL: FilterSettings = { mirroredRegistries: [], registryFilters: [] };
const KEY = 'registry.test:5000/team/app:v1';

export function contentStoreContract({ name, skip, create }: Contract): void {
  const testIt = (what: string, body: (t: TestContext) => Promise<void>) =>
    test(`${name}: ${what}`, { skip, timeout: 60_000 }, body);
  const started = async (t: TestContext, filters = ALL) => {
    const harness = await create(t, filters);
    const image = await harness.makeImage('first');
    await harness.add(image, KEY);
    t.after(() => harness.store.stop());
    await harness.store.start(signal);
    await waitUntil('the store is ready', () => harness.store.isReady());
    return { ...harness, image, digests: digestsOf(image).filter(isDigest) };
  };

  testIt('a watch begins with a snapshot of all keys, every watch', async (t) => {
    const { digests, store } = await started(t);
    for (const watched of [new Watched(store, t), new Watched(store, t)]) {
      await watched.untilHas([...digests, KEY]);
      assert.equal(watched.events[0]?.type, 'snapshot');
      assert.equal(watched.keys.size, digests.length + 1);
    }
  });

  testIt('a tag resolves to its manifest, others to nothing', async (t) => {
    const { image, store } = await started(t);
    assert.equal(await store.resolve(KEY, signal), image.digest);
    assert.equal(await store.resolve('registry.test:5000/team/app:v2', signal), undefined);
    assert.equal(await store.resolve('', signal), undefined);
  });

  testIt('every blob is read as it is, with its size and type', async (t) => {
    const { digests, image, store } = await started(t);
    for (const digest of digests) {
      const source = await store.source(digest, signal);
      assert.ok(source);
      assert.equal(source.digest, digest);
      assert.equal(digestOf(await readAllBytes(source, 1 << 24, signal)), digest);
    }
    const manifest = await store.source(image.digest as Digest, signal);
    assert.equal(manifest?.mediaType, OCI_MANIFEST);
    assert.equal(manifest?.size, image.size);
  });

  testIt('readers read anywhere, side by side, and end at the end', async (t) => {
    const { image, store } = await started(t);
    const source = await store.source(image.manifests[0]?.layers[0]?.digest as Digest, signal);
    assert.ok(source);
    const whole = await readAllBytes(source, 1 << 24, signal);
    const one = await source.open(signal);
    const two = await source.open(signal);
    const buffer = Buffer.alloc(1_000);
    for (const [reader, position] of [
      [one, 5],
      [two, source.size - 10],
      [one, 1_005],
      [two, 0],
      [one, 70_000],
    ] as const) {
      const count = await reader.read(buffer, position, signal);
      assert.ok(count >= 1 && count <= 1_000);
      const expected = whole.subarray(position, position + count);
      assert.deepEqual(buffer.subarray(0, count), expected);
    }
    assert.equal(await one.read(buffer, source.size, signal), 0);
    await one.close();
    await one.close();
    await two.close();
  });

  testIt('an abort ends reads and leaves no descriptor open', async (t) => {
    const { image, store } = await started(t);
    const source = await store.source(image.manifests[0]?.layers[0]?.digest as Digest, signal);
    assert.ok(source);
    const before = await descriptors();
    for (let i = 0; i < 50; i++) {
      const abort = new AbortController();
      const opening = source.open(abort.signal);
      if (i % 2 === 0) abort.abort(new Error('client went away'));
      const reader = await opening.catch(() => undefined);
      const reading = reader?.read(new Uint8Array(4_096), 0, abort.signal);
      abort.abort(new Error('client went away'));
      await assert.rejects(async () => await (reading ?? opening), /client went away/);
      await reader?.close();
    }
    await assert.rejects(store.source(source.digest, AbortSignal.abort(new Error('late'))), /late/);
    await waitUntil('descriptors are closed', async () => (await descriptors()) <= before);
  });

  testIt('what appears is added, what goes is removed', async (t) => {
    const { add, digests, image, makeImage, remove, store } = await started(t);
    const watched = new Watched(store, t);
    await watched.untilHas([KEY]);
    const second = await makeImage('second');
    const key = 'registry.test:5000/team/other:v2';
    await add(second, key);
    await watched.untilHas([...digestsOf(second), key]);
    assert.equal(await store.resolve(key, signal), second.digest);
    await remove(KEY);
    await watched.untilGone([...digests, KEY], 30_000);
    assert.ok(watched.has([...digestsOf(second), key]));
    assert.equal(await store.source(image.digest as Digest, signal), undefined);
    assert.equal(await store.resolve(KEY, signal), undefined);
  });

  testIt('a blob whose file is gone is not here and told as removed', async (t) => {
    const { image, lose, store } = await started(t);
    const watched = new Watched(store, t);
    const layer = image.manifests[0]?.layers[0]?.digest as Digest;
    await watched.untilHas([layer]);
    assert.ok(await store.source(layer, signal));
    await lose(layer);
    assert.equal(await store.source(layer, signal), undefined);
    await watched.untilGone([layer]);
    await lose(image.digest);
    assert.equal(await store.source(image.digest as Digest, signal), undefined);
    await watched.untilGone([image.digest, KEY]);
    assert.equal(await store.resolve(KEY, signal), undefined);
  });

  testIt('what is not here is answered with undefined, soon', async (t) => {
    const { store } = await started(t);
    const began = performance.now();
    assert.equal(await store.source(digestOf(Buffer.from('nowhere')), signal), undefined);
    assert.ok(performance.now() - began < 2_000);
  });

  testIt('filters leave out content, or its tag alone', async (t) => {
    const filtered = await started(t, {
      ...ALL,
      registryFilters: [/^registry\.test:5000\/team\//],
    });
    await assertKeys(filtered.store, t, []);
    assert.equal(await filtered.store.source(filtered.digests[0] as Digest, signal), undefined);
    const tagless = await started(t, { ...ALL, registryFilters: [/:v1$/] });
    await assertKeys(tagless.store, t, tagless.digests);
    const elsewhere = await started(t, { ...ALL, mirroredRegistries: ['docker.io'] });
    await assertKeys(elsewhere.store, t, []);
    const mirrored = await started(t, { ...ALL, mirroredRegistries: ['registry.test:5000'] });
    await assertKeys(mirrored.store, t, [...mirrored.digests, KEY]);
  });

  testIt('it stops twice, and its watches end with their signal', async (t) => {
    const { store } = await started(t);
    const watched = new Watched(store, t);
    await watched.untilHas([KEY]);
    await watched.end();
    await store.stop();
    await store.stop();
    assert.equal(store.isReady(), false);
  });
}

async function assertKeys(
  store: ContentStore,
  t: TestContext,
  expected: readonly string[],
): Promise<void> {
  const watched = new Watched(store, t);
  await watched.until('there is a snapshot', () => watched.events.length > 0);
  await delay(200);
  assert.deepEqual([...watched.keys].sort(), [...expected].sort());
}

async function descriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length;
}
