/** Layers that a real containerd is downloading. */
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertHolds } from '../../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../../lab/fleet/lab.ts';
import { MIB } from '../../../lab/images/images.ts';
import { waitUntil } from '../../../lab/processes/exec.ts';
import { delay } from '../../../lib/base/abortable.ts';
import { type Digest, digestOf, hexOf } from '../../../lib/oci/digest.ts';
import { readAllBytes } from '../../../lib/store/read-all-bytes.ts';
import { signal } from '../stores.ts';
import { checkPrefixes, LAYER_MIB, readChecked, type SlowPull, slowPull } from './ingest-pull.ts';

const PARALLEL = { version: '2.1', layerFetchBuffer: MIB, maxConcurrentDownloads: 4 } as const;
const HOSTS = ['2.1', '1.7', '1.6', PARALLEL] as const;
const NAMES = ['2.1', '1.7', '1.6', '2.1 in chunks'];
const skip = await labMissing();
const options = { skip, timeout: 120_000 };
let lab: Lab;

before(async () => {
  if (skip === false) lab = await Lab.create({ hosts: HOSTS.length, containerd: HOSTS });
});
after(() => lab?.dispose());

/** Milliseconds after `began` at which the reads were rejected. */
async function endsAfter(reads: readonly Promise<unknown>[], began: number): Promise<number> {
  for (const read of reads) await assert.rejects(read, /vanished|given up|not grown|wrong bytes/);
  return performance.now() - began;
}

/** Two readers that wait for bytes that are not there yet. */
function twoReaders({ source, bytes }: SlowPull): Promise<void>[] {
  const reads = [readChecked(source, bytes), readChecked(source, bytes)];
  for (const read of reads) read.catch(() => {});
  return reads;
}

NAMES.forEach((name, index) => {
  test(`containerd ${name}: readers get every byte as it comes`, options, async (t) => {
    const pull = await slowPull(t, lab, lab.host(index));
    const { source, bytes, store, digest } = pull;
    const gaps: unknown[] = [];
    const again = setInterval(async () => {
      const inflight = await store.inflightSource(digest, signal).catch((error) => error);
      if (inflight?.size !== bytes.length) gaps.push(inflight);
    }, 25);
    t.after(() => clearInterval(again));
    await lab.upstream.forget();
    const [, , , sizes] = await Promise.all([
      readChecked(source, bytes),
      readChecked(source, bytes),
      delay(500).then(() => readChecked(source, bytes)),
      checkPrefixes(source, bytes),
    ]);
    assert.ok(sizes.length > LAYER_MIB / 4, `${sizes} are the sizes seen of a file that grew`);
    const odd = sizes.filter((size) => size % MIB !== 0).length;
    t.diagnostic(`${sizes.length} sizes, ${odd} no whole MiB`);
    assert.equal(await pull.pulled, undefined);
    await assertHolds(lab.host(index), pull.image);
    clearInterval(again);
    assert.deepEqual(gaps, [], 'it was there all the time');
    const whole = await store.inflightSource(digest, signal);
    assert.ok(whole);
    assert.equal(digestOf(await readAllBytes(whole, 1 << 26, signal)), digest);
    const got = await lab.upstream.blobRequests();
    const chunks = got.filter((one) => one.status === 206).length;
    assert.equal(chunks > 2, name.endsWith('in chunks'), `${chunks} chunks`);
  });

  test(`containerd ${name}: readers end at once when the client is killed`, options, async (t) => {
    const pull = await slowPull(t, lab, lab.host(index));
    const reads = twoReaders(pull);
    await pull.begun();
    const began = performance.now();
    pull.kill();
    const ms = await endsAfter(reads, began);
    t.diagnostic(`ended after ${Math.round(ms)} ms`);
    assert.ok(ms < 1_000, `${ms} ms`);
    assert.equal(await pull.store.inflightSource(pull.digest, signal), undefined);
    assert.ok(await pull.pulled);
  });

  test(`containerd ${name}: wrong bytes bar the digest`, options, async (t) => {
    const { source, store, digest, pulled } = await slowPull(t, lab, lab.host(index), spoil);
    assert.notEqual(digestOf(await readAllBytes(source, 1 << 26, signal)), digest);
    const began = performance.now();
    await waitUntil('it is barred', () => store.isBarred(digest), { everyMs: 10 });
    t.diagnostic(`barred after ${Math.round(performance.now() - began)} ms`);
    assert.match((await pulled)?.message ?? '', /unexpected commit digest/);
    assert.equal(await store.inflightSource(digest, signal), undefined);
    assert.equal(await store.awaitInflightSource(digest, 5_000, signal), undefined);
    await assert.rejects(source.open(signal), /has wrong bytes|has vanished/);
  });
});

for (const index of [0, 2]) {
  test(
    `containerd ${NAMES[index]}: readers end at once when the digest is distrusted, and the pull goes on`,
    options,
    async (t) => {
      const pull = await slowPull(t, lab, lab.host(index));
      const reads = twoReaders(pull);
      await pull.begun();
      const began = performance.now();
      pull.store.judge.distrust(pull.digest);
      const ms = await endsAfter(reads, began);
      assert.ok(ms < 500, `${ms} ms`);
      assert.equal(await pull.store.inflightSource(pull.digest, signal), undefined);
      assert.equal(pull.store.isBarred(pull.digest), true);
      assert.equal(await pull.pulled, undefined);
      await assertHolds(lab.host(index), pull.image);
      await waitUntil('it is known to be right', () => !pull.store.isBarred(pull.digest));
      assert.ok(await pull.store.inflightSource(pull.digest, signal));
    },
  );

  test(`containerd ${NAMES[index]}: killed and started again`, options, async (t) => {
    const { containerd } = lab.host(index);
    const pull = await slowPull(t, lab, lab.host(index));
    const reads = twoReaders(pull);
    await pull.begun();
    containerd.service.kill('SIGKILL');
    const ms = await endsAfter(reads, performance.now());
    assert.ok(ms > 1_800 && ms < 2_600, `${ms} ms`);
    await pull.pulled;
    await containerd.start();
    const begun = pull.store.awaitInflightSource(pull.digest, 10_000, signal);
    const pulled = containerd.pull(pull.ref);
    const resumed = await begun;
    assert.ok(resumed);
    await readChecked(resumed, pull.bytes);
    await pulled;
  });
}

for (const index of [0, 3]) {
  test(
    `containerd ${NAMES[index]}: an ingest without a network is stalled, then goes on`,
    options,
    async (t) => {
      const pull = await slowPull(t, lab, lab.host(index));
      const reads = twoReaders(pull);
      await pull.begun();
      const began = performance.now();
      await lab.upstream.net.unplug();
      const ms = await endsAfter(reads, began);
      assert.ok(ms > 1_900 && ms < 2_600, `${ms} ms`);
      assert.equal(await pull.store.inflightSource(pull.digest, signal), undefined);
      await lab.upstream.net.plug();
      const back = await pull.store.awaitInflightSource(pull.digest, 20_000, signal);
      assert.ok(back);
      await readChecked(back, pull.bytes);
      assert.equal(await pull.pulled, undefined);
      await assertHolds(lab.host(index), pull.image);
    },
  );
}

/** Puts other bytes of the same length into the registry. */
async function spoil(digest: Digest): Promise<void> {
  const hex = hexOf(digest);
  const path = join('docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  const file = await open(join(lab.upstream.storage, path), 'r+');
  await file.write(Buffer.from('wrong'), 0, 5, 5_000_000);
  await file.close();
}
