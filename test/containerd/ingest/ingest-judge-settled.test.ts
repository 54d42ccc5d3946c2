/**
 * How long a request waits for a verdict, how many ingests are watched, and when they are
 * discarded.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { utimesSync } from 'node:fs';
import { test } from 'node:test';
import { waitUntil } from '../../../lab/processes/exec.ts';
import { delay } from '../../../lib/base/abortable.ts';
import { type Digest, digestOf } from '../../../lib/oci/digest.ts';
import { FakeIngest, openBelow } from './fake-ingest.ts';
import {
  assertOver,
  DIGEST,
  judgeFixture,
  right,
  SIZE,
  settles,
  verdict,
  wrong,
} from './judge-support.ts';

/** Delay that a busy machine adds. */
const SLACK_MS = 250;
const OTHER = digestOf(Buffer.from('another'));

test('does not wait if no ingest is in doubt', async (t) => {
  const it = judgeFixture(t);
  assert.ok((await settles(it, 5_000)) < SLACK_MS, 'nothing is known');
  const ingest = right(it.root).grow(SIZE - 1);
  await it.judge.follow(DIGEST);
  assert.ok((await settles(it, 5_000)) < SLACK_MS, 'it is not full');
  assert.ok((await settles(it, 5_000, [])) < SLACK_MS, 'nothing is asked for');
  ingest.grow(1);
  assert.ok((await settles(it, 5_000, [OTHER])) < SLACK_MS, 'another is in doubt');
});

test('waits 0.1 s for an ingest in doubt with right bytes', async (t) => {
  const it = judgeFixture(t);
  const ingest = right(it.root).grow(SIZE);
  await it.judge.follow(DIGEST);
  const ms = await settles(it, 5_000, [OTHER, DIGEST]);
  assert.ok(ms < 100 + SLACK_MS, `${ms} ms`);
  assert.deepEqual(it.told, []);
  assert.ok((await settles(it, 5_000)) < SLACK_MS, 'they are known to be right');
  ingest.commit();
});

test('waits until an ingest with wrong bytes is judged and discarded', async (t) => {
  let ingest: FakeIngest | undefined;
  const discard = () => delay(300).then(() => ingest?.abort());
  const it = judgeFixture(t, { discard });
  ingest = wrong(it.root).grow(SIZE);
  await it.judge.follow(DIGEST);
  const ms = await settles(it, 5_000);
  assert.ok(ms >= 300 && ms < 400 + SLACK_MS, `${ms} ms`);
  assert.deepEqual(it.told, [[DIGEST, 'bad']]);
  assert.equal(it.judge.isBad(DIGEST), true);
  assert.ok((await settles(it, 5_000)) < SLACK_MS);
});

test('wrong bytes from an earlier pull are discarded before the wait ends', async (t) => {
  let ingest: FakeIngest | undefined;
  const discard = () => delay(300).then(() => ingest?.abort());
  const it = judgeFixture(t, { discard });
  ingest = wrong(it.root).grow(SIZE);
  utimesSync(ingest.data, new Date(0), new Date(0));
  await it.judge.follow(DIGEST);
  const ms = await settles(it, 5_000);
  assert.ok(ms >= 295 && ms < 300 + SLACK_MS, `${ms} ms`);
  assert.deepEqual(openBelow(it.root), []);
});

test('a commit in the meantime ends the wait', async (t) => {
  const it = judgeFixture(t);
  const ingest = right(it.root).grow(SIZE);
  await it.judge.follow(DIGEST);
  setTimeout(() => ingest.commit(), 30);
  assert.ok((await settles(it, 5_000)) < 100 + SLACK_MS);
  assert.deepEqual(it.told, [[DIGEST, 'good']]);
});

test('a large ingest does not exceed the wait, and others are judged meanwhile', async (t) => {
  const it = judgeFixture(t);
  const bytes = Buffer.alloc(512 * 1024 * 1024);
  const large = new FakeIngest(it.root, bytes, { digest: OTHER }).grow(bytes.length);
  await it.judge.follow(OTHER);
  await delay(100);
  const ms = await settles(it, 150, [OTHER]);
  assert.ok(ms < 150 + SLACK_MS, `${ms} ms`);
  assert.deepEqual(it.told, []);
  const small = wrong(it.root).grow(SIZE);
  await it.judge.follow(DIGEST);
  await it.judge.untilSettled([DIGEST], 1_000);
  assert.deepEqual(it.told, [[DIGEST, 'bad']]);
  await waitUntil('the large one is judged', () => it.told.length === 2);
  assert.deepEqual(it.told[1], [OTHER, 'bad']);
  for (const ingest of [large, small]) ingest.abort();
});

test('a discard that hangs does not exceed the wait', async (t) => {
  const it = judgeFixture(t, { discard: (_, signal) => delay(60_000, signal) });
  it.judge.distrust(DIGEST);
  assert.equal(it.judge.isBad(DIGEST), true);
  const ms = await settles(it, 200);
  assert.ok(ms >= 195 && ms < 200 + SLACK_MS, `${ms} ms`);
  await it.judge.stop();
  assert.ok((await settles(it, 5_000)) < SLACK_MS, 'it is stopped');
});

test('an ingest with a writer is not waited for, and discarded after the writer ends', async (t) => {
  const tries: number[] = [];
  const discard = async () => void tries.push(performance.now());
  const it = judgeFixture(t, { discard });
  const ingest = right(it.root).grow(10);
  await it.judge.follow(DIGEST);
  it.judge.distrust(DIGEST);
  const end = performance.now() + 1_000;
  while (performance.now() < end) {
    ingest.grow(10);
    assert.ok((await settles(it, 5_000)) < SLACK_MS);
    await delay(20);
  }
  assert.deepEqual(tries, [], 'containerd is not asked');
  await delay(10);
  const closed = performance.now();
  ingest.close();
  await waitUntil('it is tried', () => tries.length > 0, { everyMs: 5 });
  const ms = (tries[0] ?? 0) - closed;
  assert.ok(ms < 100 + SLACK_MS, `${ms} ms`);
});

test('an ingest of a killed containerd is discarded, although its writer was not closed', async (t) => {
  const it = judgeFixture(t);
  right(it.root).grow(10);
  await it.judge.follow(DIGEST);
  it.judge.distrust(DIGEST);
  await delay(1_000);
  assert.deepEqual(it.discarded, []);
  await waitUntil('it is tried', () => it.discarded.length > 0, { timeoutMs: 3_000 });
});

test('a refused discard is tried again after longer and longer pauses, or at once if a request waits', async (t) => {
  const tries: number[] = [];
  let isHeld = true;
  const discard = async () => {
    tries.push(performance.now());
    if (isHeld) throw new Error('locked');
  };
  const it = judgeFixture(t, { discard });
  it.judge.distrust(DIGEST);
  await delay(1_300);
  const refused = tries.length;
  assert.ok(refused >= 2 && refused <= 4, `${refused} tries`);
  assert.ok((await settles(it, 5_000)) < SLACK_MS, 'somebody else has to end first');
  assert.equal(tries.length, refused + 1);
  isHeld = false;
  assert.ok((await settles(it, 5_000)) < SLACK_MS);
  assert.equal(tries.length, refused + 2);
  await delay(1_000);
  assert.equal(tries.length, refused + 2, 'it is gone');
  it.judge.distrust(DIGEST);
  await waitUntil('it is tried anew', () => tries.length === refused + 3);
});

test('many waits at once cause one attempt and one verdict', async (t) => {
  let tries = 0;
  const discard = async () => {
    tries += 1;
    await delay(100);
  };
  const it = judgeFixture(t, { discard });
  wrong(it.root).grow(SIZE);
  await Promise.all(Array.from({ length: 50 }, () => it.judge.follow(DIGEST)));
  assert.equal(openBelow(it.root).length, 1);
  await Promise.all(Array.from({ length: 50 }, () => it.judge.untilSettled([DIGEST], 2_000)));
  assert.deepEqual(it.told, [[DIGEST, 'bad']]);
  assert.equal(tries, 1);
  await assertOver(it);
});

test('at most 256 ingests are watched, also if all begin at once', async (t) => {
  const it = judgeFixture(t);
  const ingests = Array.from({ length: 300 }, () =>
    new FakeIngest(it.root, randomBytes(100)).grow(10),
  );
  const digests: Digest[] = ingests.map(({ digest }) => digest);
  const followed = await Promise.all(digests.map((digest) => it.judge.follow(digest)));
  assert.equal(followed.filter(Boolean).length, 256);
  assert.equal(openBelow(it.root).length, 256);
  for (const ingest of ingests) ingest.abort();
  await waitUntil('all have ended', () => it.told.length === 256);
  assert.deepEqual(openBelow(it.root), []);
  right(it.root);
  assert.equal(await it.judge.follow(DIGEST), true);
});

test('stop leaves no descriptor open, whatever is going on', async (t) => {
  const it = judgeFixture(t, { discard: (_, signal) => delay(60_000, signal) });
  const bytes = Buffer.alloc(64 * 1024 * 1024);
  new FakeIngest(it.root, bytes, { digest: OTHER }).grow(bytes.length);
  await it.judge.follow(OTHER);
  wrong(it.root).grow(SIZE);
  await it.judge.follow(DIGEST);
  await verdict(it);
  const waits = it.judge.untilSettled([DIGEST, OTHER], 60_000);
  const follows = it.judge.follow(OTHER);
  await it.judge.stop();
  await Promise.all([waits, follows]);
  assert.deepEqual(openBelow(it.root), []);
});
