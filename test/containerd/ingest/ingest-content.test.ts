/** Which ingests are offered as in-flight content. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { waitUntil } from '../../../lab/processes/exec.ts';
import { delay } from '../../../lib/base/abortable.ts';
import { digestOf } from '../../../lib/oci/digest.ts';
import { readAllBytes } from '../../../lib/store/read-all-bytes.ts';
import type { InflightSource } from '../../../lib/store/store.ts';
import { signal } from '../stores.ts';
import { contentOf, FakeIngest, makeRoot } from './fake-ingest.ts';

const long = (seconds: number) => new Date(Date.now() - seconds * 1000);

test('ingests of each kind are offered, of shared namespaces only', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root);
  const every = contentOf(t, root, {}, ['*']);
  for (const kind of ['layer', 'config', 'manifest', 'index', 'unknown']) {
    const ingest = new FakeIngest(root, randomBytes(100), { kind });
    assert.equal((await content.inflightSource(ingest.digest, signal))?.size, 100);
  }
  const foreign = new FakeIngest(root, randomBytes(100), { namespace: 'moby' });
  assert.equal(await content.inflightSource(foreign.digest, signal), undefined);
  assert.ok(await every.inflightSource(foreign.digest, signal));
  assert.equal(await content.inflightSource(digestOf(Buffer.from('nobody')), signal), undefined);
});

test('an ingest without a valid total is not offered', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root);
  for (const total of [null, '', '0', '-1', '1e3', '99999999999999999', '1'.repeat(33), ' 10']) {
    const ingest = new FakeIngest(root, randomBytes(100), { total });
    assert.equal(await content.inflightSource(ingest.digest, signal), undefined, String(total));
  }
});

test('of two namespaces the larger ingest is offered', async (t) => {
  const root = makeRoot(t);
  const bytes = randomBytes(1000);
  const [a, b] = ['one', 'two'].map((namespace) => new FakeIngest(root, bytes, { namespace }));
  const content = contentOf(t, root, {}, ['one', 'two']);
  a?.grow(10);
  b?.grow(20);
  const first = await content.inflightSource(digestOf(bytes), signal);
  assert.equal(await first?.available(signal), 20);
  a?.grow(500);
  const second = await content.inflightSource(digestOf(bytes), signal);
  assert.equal(await second?.available(signal), 510);
});

test('the first look at an old ingest takes its mtime, and growth ends the stall', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root);
  const ingest = new FakeIngest(root).grow(50);
  utimesSync(join(ingest.dir, 'updatedat'), long(90), long(90));
  utimesSync(ingest.data, long(60), long(60));
  assert.equal(await content.inflightSource(ingest.digest, signal), undefined);
  ingest.grow(1);
  assert.ok(await content.inflightSource(ingest.digest, signal));
});

test('after a clock was set back, a file with a future mtime counts from its first look', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root, { stallMs: 100 });
  const ingest = new FakeIngest(root).grow(50);
  utimesSync(ingest.data, long(-3600), long(-3600));
  assert.ok(await content.inflightSource(ingest.digest, signal));
  await delay(150);
  assert.equal(await content.inflightSource(ingest.digest, signal), undefined);
});

test('an ingest without growth is only starved while another grows, for a time', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root, { stallMs: 150, starvedMs: 600 });
  const [starved, other] = [new FakeIngest(root), new FakeIngest(root)];
  const began = performance.now();
  const reader = await (await content.inflightSource(starved.digest, signal))?.open(signal);
  assert.ok(reader);
  const ended = reader.read(Buffer.alloc(10), 0, signal).then(
    () => assert.fail('there was nothing to read'),
    () => performance.now() - began,
  );
  let hasEnded = false;
  void ended.finally(() => (hasEnded = true));
  while (!hasEnded) {
    other.grow(10);
    await content.inflightSource(other.digest, signal);
    if (performance.now() - began < 500)
      assert.ok(await content.inflightSource(starved.digest, signal));
    await delay(20);
  }
  const ms = await ended;
  assert.ok(ms >= 590 && ms < 900, `${ms} ms`);
  await reader.close();
  const still = new FakeIngest(root);
  assert.ok(await content.inflightSource(still.digest, signal));
  await delay(250);
  assert.equal(await content.inflightSource(still.digest, signal), undefined, 'nothing grows');
});

test('an ingest with a closed writer is not offered, but a new one is', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root);
  const ingest = new FakeIngest(root).grow(50);
  await delay(10);
  ingest.close();
  assert.equal(await content.inflightSource(ingest.digest, signal), undefined);

  const tick = new FakeIngest(root).grow(50);
  const at = (file: string, time: Date) => utimesSync(join(tick.dir, file), time, time);
  const now = long(0);
  for (const file of ['startedat', 'updatedat', 'data']) at(file, now);
  assert.ok(await content.inflightSource(tick.digest, signal), 'begun in this tick of the clock');
  at('startedat', long(1));
  assert.equal(await content.inflightSource(tick.digest, signal), undefined, 'closed in this tick');
});

test('a committed blob is offered if its ingest was seen', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root);
  const [seen, unseen] = [new FakeIngest(root), new FakeIngest(root)];
  const source = await content.inflightSource(seen.digest, signal);
  seen.grow(100_000).commit();
  unseen.grow(100_000).commit();
  const whole = await content.inflightSource(seen.digest, signal);
  assert.ok(whole && source);
  assert.equal(await whole.available(signal), 100_000);
  assert.equal(digestOf(await readAllBytes(whole, 1 << 20, signal)), seen.digest);
  assert.equal(await content.inflightSource(unseen.digest, signal), undefined);
  assert.equal(await source.available(signal), 100_000);
  assert.equal(digestOf(await readAllBytes(source, 1 << 20, signal)), seen.digest);
});

test('a full ingest with wrong bytes from an earlier pull bars the digest at the first look', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root);
  const right = randomBytes(100_000);
  const ingest = new FakeIngest(root, undefined, { digest: digestOf(right) }).grow(100_000);
  utimesSync(ingest.data, long(60), long(60));
  assert.equal(content.isBarred(ingest.digest), false);
  assert.equal(await content.inflightSource(ingest.digest, signal), undefined);
  assert.equal(content.isBarred(ingest.digest), true);
  ingest.abort();
  const again = new FakeIngest(root, right).grow(10);
  assert.equal(await content.inflightSource(again.digest, signal), undefined, 'for an hour');
});

test('a full ingest with right bytes is offered, also before its commit', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root);
  const ingest = new FakeIngest(root).grow(100_000);
  utimesSync(ingest.data, long(60), long(60));
  assert.ok(await content.inflightSource(ingest.digest, signal));
  assert.equal(content.isBarred(ingest.digest), false);
});

test('waits for a download to begin, until a timeout, a bar or an abort', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root);
  const [bytes, digest] = [randomBytes(1000), digestOf(Buffer.from('other bytes'))];
  const waits = Array.from({ length: 50 }, () =>
    content.awaitInflightSource(digest, 5_000, signal),
  );
  await delay(100);
  const ingest = new FakeIngest(root, bytes, { digest });
  const began = performance.now();
  for (const source of await Promise.all(waits)) assert.equal(source?.size, 1000);
  assert.ok(performance.now() - began < 500);

  const nobody = digestOf(Buffer.from('nobody'));
  assert.equal(await content.awaitInflightSource(nobody, 100, signal), undefined);
  await assert.rejects(
    content.awaitInflightSource(nobody, 9_999, AbortSignal.timeout(50)),
    /timeout/,
  );
  ingest.grow(1000);
  await waitUntil('it is barred', () => content.isBarred(ingest.digest), { timeoutMs: 2_000 });
  const at = performance.now();
  assert.equal(await content.awaitInflightSource(ingest.digest, 5_000, signal), undefined);
  assert.ok(performance.now() - at < 1_000, 'a digest that is barred is not waited for');
  const late = content.awaitInflightSource(nobody, 5_000, signal);
  await content.stop();
  assert.equal(await late, undefined);
});

test('a wait finds a small blob that was committed between two polls', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root);
  const bytes = randomBytes(400);
  const waiting = content.awaitInflightSource(digestOf(bytes), 5_000, signal);
  await delay(30);
  new FakeIngest(root, bytes).grow(400).commit();
  const source = await waiting;
  assert.equal(await source?.available(signal), 400);
});

test('other files in the directory do no harm', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root);
  writeFileSync(join(root, 'ingest', 'a-file'), 'x');
  for (const name of ['empty', 'f'.repeat(64)]) mkdirSync(join(root, 'ingest', name));
  writeFileSync(join(root, 'ingest', 'empty', 'ref'), Buffer.alloc(100_000, 'x'));
  const other = new FakeIngest(root);
  rmSync(other.data);
  const ingest = new FakeIngest(root);
  assert.ok(await content.inflightSource(ingest.digest, signal));
  assert.equal(await content.inflightSource(other.digest, signal), undefined);
  const nowhere = contentOf(t, join(root, 'nowhere'));
  assert.equal(await nowhere.inflightSource(ingest.digest, signal), undefined);
});

test('a ref that is written after its directory was seen is read', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root);
  const ingest = new FakeIngest(root);
  const ref = join(ingest.dir, 'ref');
  const text = readFileSync(ref);
  writeFileSync(ref, text.subarray(0, 20));
  assert.equal(await content.inflightSource(ingest.digest, signal), undefined);
  await delay(100);
  assert.equal(await content.inflightSource(ingest.digest, signal), undefined);
  writeFileSync(ref, text);
  assert.ok(await content.inflightSource(ingest.digest, signal));
});

test('files that this process may not read are not offered', {
  skip: process.getuid?.() !== 0,
}, async (t) => {
  const root = makeRoot(t);
  const ingest = new FakeIngest(root).grow(10);
  const content = contentOf(t, root);
  for (const path of [root, ingest.dir, join(root, 'ingest')]) chmodSync(path, 0o755);
  chmodSync(ingest.data, 0o600);
  process.seteuid?.(65534);
  try {
    assert.equal(await content.inflightSource(ingest.digest, signal), undefined);
  } finally {
    process.seteuid?.(0);
  }
  assert.ok(await content.inflightSource(ingest.digest, signal));
});

test('at most 256 ingests are open', async (t) => {
  const root = makeRoot(t);
  const content = contentOf(t, root);
  const sources: InflightSource[] = [];
  for (let i = 0; i < 257; i += 1) {
    const ingest = new FakeIngest(root, randomBytes(100));
    const source = await content.inflightSource(ingest.digest, signal);
    assert.ok(source);
    sources.push(source);
  }
  const last = sources.pop() as InflightSource;
  const readers = await Promise.all(sources.map((source) => source.open(signal)));
  await assert.rejects(last.open(signal), /256 downloads/);
  assert.equal(await content.inflightSource(last.digest, signal), undefined);
  await Promise.all(readers.map((reader) => reader.close()));
  assert.ok(await content.inflightSource(last.digest, signal));
});
