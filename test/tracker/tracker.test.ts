import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest } from '../../lib/oci/digest.ts';
import { DigestAssignment } from '../../lib/tracker/assignment.ts';
import { DEFAULT_ENTRY_BOUNDS } from '../../lib/tracker/constants.ts';
import type { EntryBounds } from '../../lib/tracker/entries.ts';
import { decodeAnswer, encodeTrackerMessage } from '../../lib/tracker/protocol.ts';
import { Tracker } from '../../lib/tracker/tracker.ts';

const digestOf = (seed: number): Digest => `sha256:${seed.toString(16).padStart(64, '0')}`;
const D = digestOf(1);
const HOUR_MS = 3_600_000;

/** A tracker whose time and provider records the test says, asked in short words. */
function track(bounds: EntryBounds = DEFAULT_ENTRY_BOUNDS) {
  const clock = { now: 0 };
  const records = new Map<string, string[]>();
  const tracker = new Tracker(
    {
      protocol: { providers: (key) => records.get(key) ?? [] },
      newAssignment: () => new DigestAssignment(),
      now: () => clock.now,
    },
    bounds,
  );
  const ask = (peer: string, digest = D, failed: string[] = [], isSmall = false) => {
    const question = encodeTrackerMessage({ type: 'ask', digest, have: 0, failed, isSmall });
    const answer = decodeAnswer(tracker.answer(peer, question));
    return answer.role === 'lead' ? 'lead' : answer.sources.map((source) => source.peer).join();
  };
  const report = (peer: string, have: number, source?: string, digest = D) =>
    tracker.handle(peer, { type: 'report', pulls: [{ digest, have, source }] });
  const done = (peer: string, digest = D) => tracker.handle(peer, { type: 'done', digest });
  const gone = (peer: string, isSpoilt = false) =>
    tracker.handle(peer, { type: 'gone', digest: D, isSpoilt });
  return { tracker, clock, records, ask, report, done, gone };
}

test('one tracker keeps many digests apart', () => {
  const { ask } = track();
  assert.deepEqual([ask('a'), ask('b'), ask('b', digestOf(2))], ['lead', 'a', 'lead']);
});

test('a large one goes down a chain, a small one from one to many', () => {
  const { ask } = track();
  const sources = (digest: Digest, isSmall: boolean) =>
    ['a', 'b', 'c', 'd'].map((peer) => ask(peer, digest, [], isSmall).split(',')[0]);
  assert.deepEqual(sources(D, false), ['lead', 'a', 'b', 'c']);
  assert.deepEqual(sources(digestOf(2), true), ['lead', 'a', 'a', 'a']);
});

test('a host with the whole content, by record or by its own word, is a source; the asker never', () => {
  const { ask, done, records } = track();
  records.set(D, ['a']);
  assert.equal(ask('b'), 'a');
  assert.equal(ask('a'), 'lead', 'its own record is no source, nor is who waits for it');
  done('c', digestOf(2));
  assert.equal(ask('a', digestOf(2)), 'c');
});

test('reports tell a new tracker which hosts pull', () => {
  const { ask, report, tracker } = track();
  assert.deepEqual(report('a', 10), { ok: true, nextReportMs: 1_000, again: [] });
  report('b', 5, 'a');
  assert.equal(ask('c').split(',')[0], 'b');
  assert.equal(tracker.size, 1);
});

test('what no puller reports is forgotten', () => {
  const { ask, clock, tracker } = track();
  ask('a');
  clock.now = 3_100;
  assert.equal(ask('b'), 'lead');
  clock.now = 120_000;
  tracker.sweep();
  assert.equal(tracker.size, 0);
});

test('the timer sweeps, and ends with the part', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const { ask, clock, tracker } = track();
  await tracker.start(new AbortController().signal);
  ask('a');
  clock.now = 120_000;
  t.mock.timers.tick(1_000);
  assert.equal(tracker.size, 0);
  await tracker.stop();
  ask('a');
  clock.now = 240_000;
  t.mock.timers.tick(10_000);
  assert.equal(tracker.size, 1);
});

test('what is known is bounded over all digests: of peers with as much, the one heard of longest ago makes room', () => {
  const { ask, tracker } = track({ maxEntries: 4, maxEntriesPerPeer: 4 });
  ask('a', digestOf(1));
  ask('b', digestOf(2));
  ask('c', digestOf(3));
  assert.equal(ask('x', digestOf(1)), 'a');
  ask('a', digestOf(1));
  ask('d', digestOf(4));
  assert.deepEqual([tracker.size, tracker.entries], [3, 4]);
  assert.equal(ask('c', digestOf(1)).split(',')[0], 'x', 'in use');
  assert.equal(ask('y', digestOf(2)), 'lead', 'forgotten');
});

test('a liar pushes out its own digests, not those of others', () => {
  const { ask, tracker } = track({ maxEntries: 100, maxEntriesPerPeer: 10 });
  ask('a', D);
  for (let seed = 100; seed < 1_000; seed++) ask('liar', digestOf(seed));
  assert.equal(tracker.size, 11);
  assert.equal(ask('b', D), 'a');
});

test('peers that have most make room, whatever they say, for one that has little', () => {
  const { ask, done, report, tracker } = track({ maxEntries: 100, maxEntriesPerPeer: 50 });
  ask('a', D);
  for (let seed = 100; seed < 200; seed++) {
    ask('liar', digestOf(seed));
    done('other', digestOf(seed));
    report('third', 1, 'a', digestOf(seed));
  }
  assert.ok(tracker.entries > 90 && tracker.entries <= 100, `${tracker.entries}`);
  for (let seed = 10; seed < 30; seed++) ask('honest', digestOf(seed));
  for (let seed = 300; seed < 400; seed++) done('liar', digestOf(seed));
  assert.equal(ask('b', D), 'a');
  for (let seed = 10; seed < 30; seed++) assert.equal(ask('c', digestOf(seed)), 'honest');
  assert.ok(tracker.entries <= 100, `${tracker.entries}`);
});

test('a peer that says to have a digest is known as long as that counts', () => {
  const { ask, done, clock, tracker } = track();
  done('a');
  clock.now = 500_000;
  tracker.sweep();
  assert.equal(ask('b'), 'a');
  clock.now = 700_000;
  tracker.sweep();
  assert.deepEqual([tracker.size, tracker.entries], [0, 0]);
});

test('very many pullers are to report less often', () => {
  const { report, tracker } = track();
  for (let at = 0; at < 3_000; at++) report(`p${at}`, 1);
  const receipt = report('p0', 2);
  assert.ok('nextReportMs' in receipt && receipt.nextReportMs >= 2_999);
  tracker.sweep();
  const elsewhere = report('q', 1, undefined, digestOf(2));
  assert.ok('nextReportMs' in elsewhere && elsewhere.nextReportMs === 2_000);
  assert.ok('nextReportMs' in tracker.handle('q', { type: 'done', digest: D }));
});

test('spoilt content takes its puller and its source out, at two pullers the digest', () => {
  const { ask, gone, clock } = track();
  assert.deepEqual([ask('a'), ask('b')], ['lead', 'a']);
  gone('b', true);
  assert.equal(ask('c'), 'lead', 'neither a nor b is offered');
  assert.equal(ask('d'), 'c', 'one word does not bar the digest');
  gone('d', true);
  assert.deepEqual([ask('e'), ask('f')], ['lead', 'lead']);
  assert.equal(ask('e', digestOf(2)), 'lead');
  assert.equal(ask('f', digestOf(2)), 'e', 'others are shared as before');
  clock.now = HOUR_MS + 1;
  assert.deepEqual([ask('e'), ask('f')], ['lead', 'e']);
});

test('the word of one that pulled nothing does not count', () => {
  const { ask, gone } = track();
  ask('a');
  for (const liar of ['x', 'y', 'z']) gone(liar, true);
  assert.equal(ask('b'), 'a');
  gone('b', true);
  gone('b', true);
  assert.equal(ask('c'), 'lead');
  assert.equal(ask('d'), 'c');
});

test('garbage throws, which ends the stream of its sender', () => {
  const { tracker } = track();
  assert.throws(() => tracker.answer('a', Buffer.from('{}')), /expected type/);
  assert.equal(tracker.size, 0);
});
