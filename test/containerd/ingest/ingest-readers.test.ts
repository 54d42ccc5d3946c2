/** Readers of an ingest: order, waiting, and every way in which they can end. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, truncateSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { waitUntil } from '../../../lab/processes/exec.ts';
import { delay } from '../../../lib/base/abortable.ts';
import { FILE_LOOK_MS } from '../../../lib/containerd/ingest/constants.ts';
import type { IngestSettings } from '../../../lib/containerd/ingest/ingest-content.ts';
import { type Digest, digestOf } from '../../../lib/oci/digest.ts';
import type { Reader, Source } from '../../../lib/store/store.ts';
import { signal } from '../stores.ts';
import { contentOf, FakeIngest, makeRoot, openBelow, partsOf } from './fake-ingest.ts';

const WRONG = randomBytes(100_000);

async function offered(
  t: TestContext,
  settings: IngestSettings = {},
  bytes?: Buffer,
  digest?: Digest,
) {
  const root = makeRoot(t);
  const ingest = new FakeIngest(root, bytes, digest && { digest });
  const { content, judge } = partsOf(t, root, settings);
  const source = await content.inflightSource(ingest.digest, signal);
  assert.ok(source);
  return { root, ingest, content, judge, source };
}

async function readAll(source: Source, step = 7_000): Promise<Buffer> {
  const reader = await source.open(signal);
  try {
    const whole = Buffer.alloc(source.size);
    let position = 0;
    for (;;) {
      const buffer = Buffer.alloc(step);
      const count = await reader.read(buffer, position, signal);
      if (count === 0) return whole.subarray(0, position);
      position += buffer.copy(whole, position, 0, count);
    }
  } finally {
    await reader.close();
  }
}

/** A read at `position` that still waits after a moment. */
async function waiting(reader: Reader, position: number): Promise<{ read: Promise<number> }> {
  const read = reader.read(Buffer.alloc(10), position, signal);
  read.catch(() => {});
  const early = await Promise.race([read.then(() => 'ended'), delay(50).then(() => 'waits')]);
  assert.equal(early, 'waits');
  return { read };
}

const ways: readonly [string, string | undefined][] = [
  ['on the disk', undefined],
  ['on tmpfs', existsSync('/dev/shm') ? '/dev/shm' : undefined],
  ['on the disk of the lab', existsSync('/var/tmp') ? '/var/tmp' : undefined],
];
for (const [name, below] of ways) {
  test(`${name}: readers get every byte, also after the commit, and leave no descriptor open`, async (t) => {
    const root = makeRoot(t, below);
    const ingest = new FakeIngest(root);
    const source = await contentOf(t, root).inflightSource(ingest.digest, signal);
    assert.ok(source);
    assert.equal(source.size, 100_000);
    const reads = [readAll(source), readAll(source, 97), readAll(source, 100_001)];
    for (let i = 0; i < 10; i += 1) {
      await delay(15);
      ingest.grow(10_000);
    }
    ingest.commit();
    for (const bytes of await Promise.all(reads)) assert.equal(digestOf(bytes), ingest.digest);
    await waitUntil('the descriptor is closed', () => openBelow(root).length === 0);
  });

  test(`${name}: an ingest that is removed ends waiting and other readers`, async (t) => {
    const root = makeRoot(t, below);
    const ingest = new FakeIngest(root).grow(50_000);
    const { content, judge } = partsOf(t, root);
    const source = await content.inflightSource(ingest.digest, signal);
    assert.ok(source);
    const [behind, atEnd] = [await source.open(signal), await source.open(signal)];
    const { read } = await waiting(atEnd, 50_000);
    const began = performance.now();
    ingest.abort();
    await assert.rejects(read, /has vanished/);
    assert.ok(performance.now() - began < 100);
    await delay(2 * FILE_LOOK_MS);
    await assert.rejects(behind.read(Buffer.alloc(10), 0, signal), /has vanished/);
    await assert.rejects(source.available(signal), /has vanished/);
    await Promise.all([behind.close(), atEnd.close(), atEnd.close()]);
    assert.equal(await content.inflightSource(ingest.digest, signal), undefined);
    assert.equal(content.isBarred(ingest.digest), false);
    await judge.stop();
    assert.deepEqual(openBelow(root), []);
  });
}

test('a read gets the available bytes at once, 0 only at the end, and never more than the size', async (t) => {
  const { ingest, source } = await offered(t);
  ingest.grow(40_000);
  const reader = await source.open(signal);
  const buffer = Buffer.alloc(200_000);
  assert.equal(await reader.read(buffer, 30_000, signal), 10_000);
  assert.deepEqual(buffer.subarray(0, 10_000), ingest.bytes.subarray(30_000, 40_000));
  assert.equal(await source.available(signal), 40_000);
  const { read } = await waiting(reader, 99_999);
  ingest.grow(60_000).grow(0);
  assert.equal(await read, 1);
  assert.equal(await reader.read(buffer, 100_000, signal), 0);
  const { ingest: long, source: cut } = await offered(t);
  long.grow(100_000);
  appendFileSync(long.data, 'more');
  assert.equal((await readAll(cut, 1_000_000)).length, 100_000);
  await reader.close();
});

test('a file that shrinks ends its readers, and a new reader reads the new file', async (t) => {
  const { ingest, source } = await offered(t);
  ingest.grow(50_000);
  const reader = await source.open(signal);
  const { read } = await waiting(reader, 50_000);
  truncateSync(ingest.data, 10_000);
  await assert.rejects(read, /has shrunk/);
  await assert.rejects(reader.read(Buffer.alloc(10), 0, signal), /has shrunk/);
  assert.equal(await source.available(signal), 10_000);
  await reader.close();
});

test('no growth for stallMs ends waiting readers; other reads go on, and growth is seen', async (t) => {
  const { ingest, content, source } = await offered(t, { stallMs: 200 });
  ingest.grow(50_000);
  const reader = await source.open(signal);
  const began = performance.now();
  await assert.rejects(reader.read(Buffer.alloc(10), 50_000, signal), /has not grown for 2\d\d ms/);
  const ms = performance.now() - began;
  assert.ok(ms > 150 && ms < 400, `${ms} ms`);
  assert.equal(await content.inflightSource(ingest.digest, signal), undefined);
  assert.equal(await reader.read(Buffer.alloc(10), 0, signal), 10);
  await assert.rejects(reader.read(Buffer.alloc(10), 50_000, signal), /has not grown/);
  ingest.grow(10);
  assert.equal(await reader.read(Buffer.alloc(20), 50_000, signal), 10);
  assert.ok(await content.inflightSource(ingest.digest, signal));
  await reader.close();
});

test('a closed writer ends waiting readers at once, and a new writer goes on', async (t) => {
  const { ingest, content, source } = await offered(t);
  ingest.grow(50_000);
  const reader = await source.open(signal);
  const { read } = await waiting(reader, 50_000);
  const began = performance.now();
  ingest.close();
  await assert.rejects(read, /was given up/);
  assert.ok(performance.now() - began < 200);
  assert.equal(await content.inflightSource(ingest.digest, signal), undefined);
  await delay(10);
  ingest.grow(10);
  assert.ok(await content.inflightSource(ingest.digest, signal));
  assert.equal(await reader.read(Buffer.alloc(20), 50_000, signal), 10);
  await reader.close();
});

test('an ingest is discarded and begins anew in the same directory', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root);
  const ingest = new FakeIngest(root, undefined, { number: 1 }).grow(50_000);
  const source = await content.inflightSource(ingest.digest, signal);
  assert.ok(source);
  const old = await source.open(signal);
  assert.equal(await old.read(Buffer.alloc(10), 0, signal), 10);
  ingest.abort();
  const anew = new FakeIngest(root, ingest.bytes, { number: 1 }).grow(10_000);
  const again = await content.inflightSource(anew.digest, signal);
  assert.ok(again);
  const all = readAll(again);
  await delay(30);
  await assert.rejects(old.read(Buffer.alloc(10), 0, signal), /has vanished/);
  anew.grow(90_000);
  assert.equal(digestOf(await all), anew.digest);
  await old.close();
});

test('readers go on in the blob that another ingest became', async (t) => {
  const { ingest, source } = await offered(t);
  ingest.grow(50_000);
  const all = readAll(source);
  await delay(30);
  ingest.writeBlob();
  ingest.abort();
  assert.equal(digestOf(await all), ingest.digest);
});

test('a full file with wrong bytes ends its readers and bars the digest', async (t) => {
  const right = randomBytes(100_000);
  const { root, ingest, content, source } = await offered(t, {}, WRONG, digestOf(right));
  ingest.grow(100_000);
  assert.ok(await content.inflightSource(ingest.digest, signal), 'it may be committed yet');
  const reader = await source.open(signal);
  assert.equal(await reader.read(Buffer.alloc(10), 0, signal), 10);
  await waitUntil('it is barred', () => content.isBarred(ingest.digest), { timeoutMs: 2_000 });
  await delay(2 * FILE_LOOK_MS);
  await assert.rejects(reader.read(Buffer.alloc(10), 10, signal), /has wrong bytes/);
  assert.equal(await content.inflightSource(ingest.digest, signal), undefined);
  await reader.close();
  ingest.abort();
  const again = new FakeIngest(root, right).grow(100_000);
  assert.equal(await content.inflightSource(again.digest, signal), undefined, 'for an hour');
  again.commit();
  assert.ok(await content.inflightSource(ingest.digest, signal), 'other bytes were right');
  assert.equal(content.isBarred(ingest.digest), false);
});

test('a slow commit bars nothing, and its readers get every byte', async (t) => {
  const { ingest, content, source } = await offered(t);
  ingest.grow(100_000);
  const reader = await source.open(signal);
  const end = performance.now() + 3_000;
  while (performance.now() < end) {
    assert.equal(await reader.read(Buffer.alloc(10), 99_990, signal), 10);
    assert.ok(await content.inflightSource(ingest.digest, signal));
    assert.equal(content.isBarred(ingest.digest), false);
    await delay(50);
  }
  ingest.commit();
  assert.ok(await content.inflightSource(ingest.digest, signal));
  assert.equal(digestOf(await readAll(source)), ingest.digest);
  assert.equal(content.isBarred(ingest.digest), false);
  await reader.close();
});

test('wrong bytes that were read and discarded bar the digest', async (t) => {
  const { root, ingest, content, source } = await offered(t, {}, WRONG, digestOf(Buffer.of()));
  ingest.grow(100_000);
  assert.equal((await readAll(source)).length, 100_000);
  await delay(20);
  assert.equal(content.isBarred(ingest.digest), false);
  ingest.abort();
  await waitUntil('it is barred', () => content.isBarred(ingest.digest));
  await waitUntil('the descriptor is closed', () => openBelow(root).length === 0);
});

test('a hundred waiting readers share one look, and no reader means no look', async (t) => {
  const { ingest, source } = await offered(t);
  const readers = await Promise.all(Array.from({ length: 100 }, () => source.open(signal)));
  const probe = await open(ingest.data);
  const prototype = Object.getPrototypeOf(probe);
  await probe.close();
  const looks = t.mock.method(prototype, 'stat');
  const reads = readers.map((reader) => reader.read(Buffer.alloc(10), 0, signal));
  await delay(200);
  const during = looks.mock.callCount();
  assert.ok(during > 5 && during <= 200 / FILE_LOOK_MS + 2, `${during} looks`);
  ingest.grow(10);
  assert.deepEqual(await Promise.all(reads), Array(100).fill(10));
  const after = looks.mock.callCount();
  await delay(100);
  assert.ok(looks.mock.callCount() - after <= 1);
  await Promise.all(readers.map((reader) => reader.close()));
});

test('aborts and closes end one wait and nothing else', async (t) => {
  const { root, source, judge } = await offered(t);
  const [a, b] = [await source.open(signal), await source.open(signal)];
  const abort = new AbortController();
  const aborted = a.read(Buffer.alloc(10), 0, abort.signal);
  const { read: closed } = await waiting(b, 0);
  abort.abort(new Error('the client left'));
  await assert.rejects(aborted, /the client left/);
  const { read: still } = await waiting(a, 0);
  await b.close();
  await assert.rejects(closed, /reader is closed/);
  await a.close();
  await assert.rejects(still, /reader is closed/);
  await assert.rejects(source.open(abort.signal), /the client left/);
  await judge.stop();
  assert.deepEqual(openBelow(root), []);
});

test('the store stops: readers end, descriptors are closed', async (t) => {
  const { root, content, judge, source, ingest } = await offered(t);
  const reader = await source.open(signal);
  const { read } = await waiting(reader, 0);
  await Promise.all([content.stop(), judge.stop()]);
  await assert.rejects(read, /is no longer read/);
  assert.deepEqual(openBelow(root), []);
  await assert.rejects(source.open(signal), /stopped/);
  assert.equal(await content.inflightSource(ingest.digest, signal), undefined);
  await reader.close();
});
