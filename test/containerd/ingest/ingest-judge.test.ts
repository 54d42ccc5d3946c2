/** What becomes of ingests. */
import assert from 'node:assert/strict';
import { appendFileSync, truncateSync, utimesSync } from 'node:fs';
import { test } from 'node:test';
import { waitUntil } from '../../../lab/processes/exec.ts';
import { delay } from '../../../lib/base/abortable.ts';
import { IngestDirectory } from '../../../lib/containerd/ingest/ingest-directory.ts';
import { FakeIngest, judgeOf, openBelow } from './fake-ingest.ts';
import {
  assertOver,
  DIGEST,
  judgeFixture,
  RIGHT,
  right,
  SIZE,
  settles,
  verdict,
  WRONG,
  wrong,
} from './judge-support.ts';

/** What a busy machine may add to no wait at all. */
const SLACK_MS = 250;

test('good: renamed to a blob, without an event as in 1.6', async (t) => {
  const it = judgeFixture(t);
  const ingest = right(it.root).grow(50_000);
  assert.equal(await it.judge.follow(DIGEST), true);
  await delay(300);
  assert.deepEqual(it.told, []);
  ingest.grow(50_000).commit();
  assert.ok((await verdict(it)) < 1_000);
  assert.deepEqual(it.told, [[DIGEST, 'good']]);
  assert.equal(it.judge.isBad(DIGEST), false);
  assert.deepEqual(it.discarded, []);
  await assertOver(it);
});

test('bad: full of wrong bytes, known within about a second, and discarded', async (t) => {
  const it = judgeFixture(t);
  const ingest = wrong(it.root).grow(50_000);
  await it.judge.follow(DIGEST);
  ingest.grow(50_000);
  const ms = await verdict(it);
  assert.ok(ms > 900 && ms < 2_000, `${ms} ms`);
  assert.deepEqual(it.told, [[DIGEST, 'bad']]);
  assert.equal(it.judge.isBad(DIGEST), true);
  await waitUntil('it is thrown away', () => it.discarded.length > 0);
  assert.deepEqual(it.discarded, [DIGEST]);
  await assertOver(it);
});

test('bad: discarded by containerd as soon as it was full', async (t) => {
  const it = judgeFixture(t);
  const ingest = wrong(it.root).grow(50_000);
  await it.judge.follow(DIGEST);
  ingest.grow(50_000);
  ingest.abort();
  assert.ok((await verdict(it)) < 1_000);
  assert.deepEqual(it.told, [[DIGEST, 'bad']]);
  assert.equal(it.judge.isBad(DIGEST), true);
  await assertOver(it);
});

test('bad: left by an earlier pull, at the first look', async (t) => {
  const it = judgeFixture(t);
  const ingest = wrong(it.root).grow(SIZE);
  utimesSync(ingest.data, new Date(0), new Date(0));
  await it.judge.follow(DIGEST);
  assert.ok((await verdict(it)) < 600);
  assert.deepEqual(it.told, [[DIGEST, 'bad']]);
});

test('bad: longer than its total, although it begins with the right bytes', async (t) => {
  const it = judgeFixture(t);
  const ingest = right(it.root).grow(SIZE);
  await it.judge.follow(DIGEST);
  await it.judge.untilSettled([DIGEST], 1_000);
  assert.deepEqual(it.told, [], 'all are right so far');
  appendFileSync(ingest.data, 'more');
  await verdict(it);
  assert.deepEqual(it.told, [[DIGEST, 'bad']]);
  await assertOver(it);
});

test('bad, then right: the digest is not bad any more', async (t) => {
  const it = judgeFixture(t);
  const first = wrong(it.root).grow(SIZE);
  await it.judge.follow(DIGEST);
  await verdict(it);
  // A new ingest before that would have a writer, and the discard would wait for it.
  await waitUntil('it is thrown away', () => it.discarded.length === 1);
  first.abort();
  const second = right(it.root).grow(10);
  await it.judge.untilSettled([DIGEST], 1_000);
  second.grow(SIZE).commit();
  await waitUntil('it is good', () => it.told.length === 2);
  assert.deepEqual(it.told[1], [DIGEST, 'good']);
  assert.equal(it.judge.isBad(DIGEST), false);
  it.judge.distrust(DIGEST);
  it.judge.trust(DIGEST);
  assert.equal(it.judge.isBad(DIGEST), false);
});

test('ended: gone before it was full, with right bytes or wrong ones', async (t) => {
  const it = judgeFixture(t);
  const ingest = wrong(it.root).grow(SIZE - 1);
  await it.judge.follow(DIGEST);
  ingest.abort();
  assert.ok((await verdict(it)) < 1_000);
  assert.deepEqual(it.told, [[DIGEST, 'ended']]);
  assert.equal(it.judge.isBad(DIGEST), false);
  assert.deepEqual(it.discarded, []);
  await assertOver(it);
});

test('a cancelled pull has no verdict while its ingest stays', async (t) => {
  const it = judgeFixture(t);
  const ingest = wrong(it.root).grow(50_000);
  await it.judge.follow(DIGEST);
  ingest.close();
  await delay(1_500);
  assert.deepEqual(it.told, []);
  ingest.abort();
  await verdict(it);
  assert.deepEqual(it.told, [[DIGEST, 'ended']]);
});

test('a slow commit has no verdict until it ends', async (t) => {
  const it = judgeFixture(t);
  const ingest = right(it.root).grow(SIZE);
  await it.judge.follow(DIGEST);
  await delay(2_500);
  await it.judge.untilSettled([DIGEST], 1_000);
  assert.deepEqual(it.told, []);
  assert.equal(it.judge.isBad(DIGEST), false);
  ingest.commit();
  await verdict(it);
  assert.deepEqual(it.told, [[DIGEST, 'good']]);
  await assertOver(it);
});

test('good: right bytes that are discarded because another ingest became the blob', async (t) => {
  const it = judgeFixture(t);
  const ingest = right(it.root).grow(50_000);
  await it.judge.follow(DIGEST);
  ingest.writeBlob();
  await delay(300);
  assert.deepEqual(it.told, [], 'the blob of another namespace says nothing of these bytes');
  ingest.grow(50_000);
  ingest.abort();
  await verdict(it);
  assert.deepEqual(it.told, [[DIGEST, 'good']]);
});

test('bad: wrong bytes although another namespace has the blob', async (t) => {
  const it = judgeFixture(t);
  const ingest = wrong(it.root).grow(SIZE);
  ingest.writeBlob(RIGHT);
  await it.judge.follow(DIGEST);
  await verdict(it);
  assert.deepEqual(it.told, [[DIGEST, 'bad']]);
});

test('several namespaces: each has its verdict, and only the last `ended` is told', async (t) => {
  const it = judgeFixture(t);
  const [a, b, c, d] = [
    right(it.root, 'a').grow(10),
    right(it.root, 'b').grow(10),
    wrong(it.root, 'c').grow(10),
    right(it.root, 'd').grow(10),
  ];
  await it.judge.follow(DIGEST);
  assert.equal(openBelow(it.root).length, 4);
  b.abort();
  await waitUntil('its end was seen', () => openBelow(it.root).length === 3);
  assert.deepEqual(it.told, []);
  c.grow(SIZE);
  c.abort();
  await verdict(it);
  assert.deepEqual(it.told, [[DIGEST, 'bad']]);
  a.grow(SIZE).commit();
  await waitUntil('the good one is told', () => it.told.length === 2);
  assert.deepEqual(it.told[1], [DIGEST, 'good']);
  assert.equal(it.judge.isBad(DIGEST), false);
  d.abort();
  await waitUntil('the end is told', () => it.told.length === 3);
  assert.deepEqual(it.told[2], [DIGEST, 'ended']);
  await assertOver(it);
});

test('an ingest that begins anew in the same directory does not get the verdict of the one before', async (t) => {
  const it = judgeFixture(t);
  new FakeIngest(it.root, RIGHT, { number: 1 }).grow(10).abort();
  const old = new FakeIngest(it.root, RIGHT, { number: 1 }).grow(10);
  await it.judge.follow(DIGEST);
  old.abort();
  const anew = new FakeIngest(it.root, WRONG, { number: 1, digest: DIGEST }).grow(10);
  assert.equal(await it.judge.follow(DIGEST), true);
  await delay(600);
  assert.deepEqual(it.told, []);
  anew.grow(SIZE);
  await delay(10);
  anew.abort();
  await verdict(it);
  assert.deepEqual(it.told, [[DIGEST, 'bad']]);
  await assertOver(it);
});

test('an ingest that begins anew in the same file is hashed again', async (t) => {
  const it = judgeFixture(t);
  const ingest = right(it.root).grow(SIZE);
  await it.judge.follow(DIGEST);
  await it.judge.untilSettled([DIGEST], 1_000);
  truncateSync(ingest.data, 0);
  await delay(300);
  appendFileSync(ingest.data, WRONG);
  await verdict(it);
  assert.deepEqual(it.told, [[DIGEST, 'bad']]);
});

test('an ingest without a total only has a verdict if it becomes a blob', async (t) => {
  const it = judgeFixture(t);
  const shape = { digest: DIGEST, total: null };
  const ingest = new FakeIngest(it.root, WRONG, shape).grow(SIZE);
  await it.judge.follow(DIGEST);
  assert.ok((await settles(it, 5_000)) < SLACK_MS);
  await delay(1_500);
  assert.deepEqual(it.told, []);
  ingest.abort();
  await verdict(it);
  assert.deepEqual(it.told, [[DIGEST, 'ended']]);
  const good = new FakeIngest(it.root, RIGHT, { total: null }).grow(SIZE);
  await it.judge.follow(DIGEST);
  good.commit();
  await waitUntil('it is good', () => it.told.length === 2);
  assert.deepEqual(it.told[1], [DIGEST, 'good']);
});

test('nothing to watch: root not known, not there, not readable, stopped', async (t) => {
  const it = judgeFixture(t);
  assert.equal(await it.judge.follow(DIGEST), false);
  assert.equal(await judgeOf(t, undefined).follow(DIGEST), false);
  assert.equal(await judgeOf(t, `${it.root}/nowhere`).follow(DIGEST), false);
  const ingests = new IngestDirectory();
  t.mock.method(ingests, 'find', () => Promise.reject(new Error('EIO')));
  assert.equal(await judgeOf(t, it.root, { ingests }).follow(DIGEST), false);
  right(it.root);
  assert.equal(await it.judge.follow(DIGEST), true);
  await it.judge.stop();
  assert.equal(await it.judge.follow(DIGEST), false);
  assert.deepEqual(openBelow(it.root), []);
  await delay(300);
  assert.deepEqual(it.told, []);
});
