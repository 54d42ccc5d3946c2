import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Digest } from '../../lib/oci/digest.ts';
import { DownloadRate, UpstreamRates } from '../../lib/tracker/download-rates.ts';
import type { Receipt, TrackerMessage } from '../../lib/tracker/protocol.ts';
import type { PullProgress } from '../../lib/tracker/pull-progress.ts';
import { Pulls } from '../../lib/tracker/pulls.ts';

const digestOf = (seed: number): Digest => `sha256:${seed.toString(16).padStart(64, '0')}`;
const D = digestOf(1);
const WAIT_MS = 2_000;
const REGISTRY = 'registry.example';
const pullOf = (digest: Digest, have = 0) => ({ digest, registry: REGISTRY, have });

interface Told {
  readonly at: number;
  readonly tracker: string;
  readonly message: TrackerMessage;
}

/**
 * Pulls under a clock that the test turns; `dead` trackers take nothing, `late` ones answer after
 * the others.
 */
function pulling(t: TestContext, trackersOf = (_digest: Digest) => ['t']) {
  t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: 0 });
  const progress = new Map<Digest, PullProgress>();
  const told: Told[] = [];
  const dead = new Set<string>();
  const late = new Set<string>();
  const spoilt: Digest[] = [];
  const receipts = new Map<string, Partial<Receipt>>();
  const upstreamRates = new UpstreamRates(() => Date.now());
  const downloadRate = new DownloadRate();
  const pulls = new Pulls(
    {
      trackers: {
        of: trackersOf,
        tell: async (tracker, message) => {
          if (dead.has(tracker)) return undefined;
          told.push({ at: Date.now(), tracker, message });
          for (let turn = 0; late.has(tracker) && turn < 5; turn++) await Promise.resolve();
          return { ok: true, nextReportMs: 1_000, again: [], ...receipts.get(tracker) };
        },
      },
      upstreamRates,
      downloadRate,
      progress: async (digest) => progress.get(digest) ?? { state: 'none' },
      onSpoilt: (digest) => spoilt.push(digest),
      now: () => Date.now(),
    },
    { inflightWaitMs: WAIT_MS, starvedWaitMs: WAIT_MS },
  );
  t.after(() => pulls.stop());
  const pass = async (ms: number) => {
    for (let step = 0; step < ms; step += 200) {
      t.mock.timers.tick(200);
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    }
  };
  /** What a tracker answers from now on. */
  const says = (tracker: string, nextReportMs: number, ...again: Digest[]) =>
    receipts.set(tracker, { nextReportMs, again });
  return { pulls, progress, told, dead, late, spoilt, upstreamRates, downloadRate, pass, says };
}

const inflight = (have: number): PullProgress => ({ state: 'inflight', have });
const tellings = (told: readonly Told[]) => told.map(({ at, tracker }) => `${at} ${tracker}`);
const types = (told: readonly Told[]) => told.map(({ message }) => message.type).join();

test('a pull is reported once a second, and done at once', async (t) => {
  const { pulls, progress, told, pass } = pulling(t);
  pulls.add(pullOf(D), 'a', false);
  progress.set(D, inflight(7));
  await pass(2_400);
  assert.deepEqual(
    told.map(({ at }) => at),
    [1_000, 2_000],
  );
  const pull = { digest: D, have: 7, source: 'a' };
  assert.deepEqual(told[0]?.message, { type: 'report', pulls: [pull] });
  pulls.setSource(D, undefined);
  progress.set(D, { state: 'done', size: 7 });
  await pass(200);
  assert.deepEqual(told[2], { at: 2_600, tracker: 't', message: { type: 'done', digest: D } });
  await pass(5_000);
  assert.equal(told.length, 3);
  assert.equal(pulls.size, 0);
});

test('the next report carries the source, and comes when the tracker wants it', async (t) => {
  const { pulls, progress, told, pass, says } = pulling(t);
  pulls.add(pullOf(D), undefined, true);
  progress.set(D, inflight(1));
  says('t', 3_000);
  pulls.setSource(D, 'b');
  await pass(3_800);
  assert.deepEqual(types(told), 'report');
  assert.ok(told[0]?.message.type === 'report' && told[0].message.pulls[0]?.source === 'b');
  progress.set(D, inflight(2));
  says('t', 0);
  await pass(400);
  progress.set(D, inflight(3));
  await pass(1_000);
  assert.deepEqual(
    told.map(({ at }) => at),
    [1_000, 4_000, 4_600, 5_200],
    'but never more often than twice a second',
  );
});

test('a tracker that knows a better source is heard, once', async (t) => {
  const { pulls, progress, says, pass } = pulling(t);
  pulls.add(pullOf(D), 'a', false);
  progress.set(D, inflight(7));
  assert.equal(pulls.isHeldUp(D), false);
  says('t', 1_000, D);
  await pass(1_200);
  assert.equal(pulls.isHeldUp(D), true);
  assert.equal(pulls.isHeldUp(D), false);
});

test('one that never starts, stands still or vanishes is gone', async (t) => {
  const { pulls, progress, told, pass } = pulling(t);
  pulls.add(pullOf(D), undefined, true);
  await pass(5_000);
  assert.ok(!types(told).includes('gone'));
  await pass(400);
  assert.equal(told.at(-1)?.message.type, 'gone');
  assert.equal(pulls.size, 0);

  pulls.add(pullOf(D), undefined, true);
  progress.set(D, inflight(5));
  await pass(5_200);
  assert.equal(pulls.size, 1);
  await pass(400);
  assert.equal(pulls.size, 0, 'stood still');

  pulls.add(pullOf(D, 5), undefined, true);
  progress.set(D, inflight(6));
  await pass(400);
  progress.delete(D);
  await pass(800);
  assert.equal(pulls.size, 1, 'the rename into the store takes a moment');
  await pass(600);
  assert.equal(pulls.size, 0);
  assert.equal(types(told.filter(({ message }) => message.type === 'gone')), 'gone,gone,gone');
});

test('one that is asked for again is alive', async (t) => {
  const { pulls, progress, pass } = pulling(t);
  pulls.add(pullOf(D), 'a', false);
  progress.set(D, inflight(5));
  await pass(4_800);
  pulls.add(pullOf(D, 5), 'b', false);
  await pass(4_800);
  assert.equal(pulls.size, 1);
  for (let have = 6; have < 3_610; have++) {
    progress.set(D, inflight(have));
    await pass(1_000);
  }
  assert.equal(pulls.size, 0, 'but not for ever');
});

test('spoilt content is told as such', async (t) => {
  const { pulls, progress, told, spoilt, pass } = pulling(t);
  pulls.add(pullOf(D), undefined, true);
  progress.set(D, { state: 'spoilt' });
  await pass(200);
  assert.deepEqual(told[0]?.message, { type: 'gone', digest: D, isSpoilt: true });
  assert.deepEqual(spoilt, [D]);
});

test('digests of one tracker share a message, of sixteen at most', async (t) => {
  const trackersOf = (digest: Digest) => (digest === digestOf(99) ? ['u'] : ['t']);
  const { pulls, progress, told, pass } = pulling(t, trackersOf);
  for (let seed = 80; seed < 100; seed++) {
    pulls.add(pullOf(digestOf(seed)), undefined, true);
    progress.set(digestOf(seed), inflight(1));
  }
  await pass(1_000);
  const counts = told.map(({ tracker, message }) =>
    message.type === 'report' ? `${tracker} ${message.pulls.length}` : message.type,
  );
  assert.deepEqual(counts.toSorted(), ['t 16', 't 3', 'u 1']);
});

test('the two closest trackers are told, and the closest alone is heard', async (t) => {
  const { pulls, progress, told, late, pass, says } = pulling(t, () => ['t', 'u', 'v']);
  late.add('t');
  says('t', 3_000);
  says('u', 500, D);
  pulls.add(pullOf(D), undefined, true);
  progress.set(D, inflight(1));
  await pass(2_000);
  assert.ok(!pulls.isHeldUp(D), 'only the second one knows a better source');
  says('t', 3_000, D);
  await pass(2_200);
  assert.deepEqual(tellings(told), ['1000 t', '1000 u', '4000 t', '4000 u']);
  assert.ok(pulls.isHeldUp(D));
});

test('of those that took a report the closest is heard, though another answered in its place', async (t) => {
  const { pulls, progress, told, dead, late, pass, says } = pulling(t, () => [...'tuvw']);
  dead.add('t');
  late.add('u');
  says('u', 3_000);
  says('v', 500, D);
  pulls.add(pullOf(D), undefined, true);
  progress.set(D, inflight(1));
  await pass(2_000);
  assert.ok(!pulls.isHeldUp(D), 'only the third one knows a better source');
  says('u', 3_000, D);
  await pass(2_200);
  assert.deepEqual(tellings(told).toSorted(), ['1000 u', '1000 v', '4000 u', '4000 v']);
  assert.ok(pulls.isHeldUp(D));
});

test('what one tracker does not take the next one gets', async (t) => {
  const { pulls, progress, told, dead, pass, says } = pulling(t, () => ['t', 'u', 'v']);
  dead.add('t').add('u');
  says('v', 500, D);
  pulls.add(pullOf(D), undefined, true);
  progress.set(D, inflight(1));
  await pass(1_600);
  assert.ok(pulls.isHeldUp(D), 'it is the closest now');
  progress.set(D, { state: 'done', size: 1 });
  await pass(200);
  assert.deepEqual(
    told.map(({ at, tracker, message }) => `${at} ${tracker} ${message.type}`),
    ['1000 v report', '1600 v report', '1800 v done'],
  );
});

test('what no tracker takes is told a second later', async (t) => {
  const { pulls, progress, told, dead, pass } = pulling(t, () => ['t', 'u', 'v']);
  dead.add('t').add('u').add('v');
  pulls.add(pullOf(D), undefined, true);
  progress.set(D, inflight(1));
  await pass(2_400);
  assert.equal(pulls.size, 1);
  dead.clear();
  await pass(1_000);
  assert.deepEqual(tellings(told), ['3000 t', '3000 u']);
});

test('pulls are bounded, and end with the part', async (t) => {
  const { pulls, progress, told, pass } = pulling(t);
  for (let seed = 0; seed < 200; seed++) {
    pulls.add(pullOf(digestOf(seed)), undefined, true);
    progress.set(digestOf(seed), inflight(1));
  }
  assert.equal(pulls.size, 64);
  pulls.setSource(digestOf(0), 'a');
  pulls.stop();
  await pass(5_000);
  assert.deepEqual(told, []);
});

test("only what surely came from the upstream tells the upstream's rate", async (t) => {
  const { pulls, progress, upstreamRates, pass } = pulling(t);
  const grow = async (seconds: number, bytesPerS: number) => {
    for (let step = 0; step < seconds * 5; step++) {
      const before = progress.get(D);
      const have = before?.state === 'inflight' ? before.have : 0;
      progress.set(D, inflight(have + bytesPerS / 5));
      await pass(200);
    }
  };
  pulls.add(pullOf(D), 'a', false);
  await grow(3, 1_000);
  assert.equal(upstreamRates.get(REGISTRY), undefined);
  pulls.setSource(D, undefined);
  await grow(3, 5_000);
  assert.equal(upstreamRates.get(REGISTRY), 5_000);
  await grow(10, 2_000);
  const slow = upstreamRates.get(REGISTRY) ?? 0;
  assert.ok(slow >= 2_000 && slow < 2_100, `${slow}`);
  await pass(1_200);
  const stalled = upstreamRates.get(REGISTRY);
  await pass(3_000);
  assert.equal(upstreamRates.get(REGISTRY), stalled, 'a stall is not a speed');
  pulls.setSource(D, 'b');
  await grow(3, 9_000);
  assert.equal(upstreamRates.get(REGISTRY), stalled);
  assert.equal(upstreamRates.get('other.example'), undefined, 'another one may be far away');
  t.mock.timers.tick(3_600_000);
  assert.equal(upstreamRates.get(REGISTRY), undefined);
});

test('a host that asks all the time reports as often as others', async (t) => {
  const { pulls, progress, told, pass } = pulling(t);
  for (let have = 1; have <= 20; have++) {
    pulls.add(pullOf(D, have), 'a', false);
    progress.set(D, inflight(have));
    await pass(200);
  }
  const times = told.map(({ at, message }) => message.type === 'report' && at);
  assert.deepEqual(times, [1_000, 2_000, 3_000, 4_000]);
});
