import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sharing } from '../../lib/mirror/sharing.ts';
import { ThroughputWatch, Transfers } from '../../lib/mirror/throughput.ts';
import { digestOf } from '../../lib/oci/digest.ts';
import { FakeTrackerClient } from './inflight-support.ts';

/** A body that comes at some rate for some time. */
function body({
  minSourceRate = 1_000_000,
  rate = undefined as number | undefined,
  wantedRate = undefined as number | undefined,
  transfers = 1,
}) {
  let now = 0;
  const tracker = new FakeTrackerClient();
  tracker.rate = rate;
  const sharing = new Sharing(tracker, {
    inflightWaitMs: 2_000,
    starvedWaitMs: 2_000,
    minSourceRate,
  });
  const watch = new ThroughputWatch({
    sharing,
    bounds: { minRate: sharing.minRate('registry.example'), wantedRate },
    total: (rate) => rate * transfers,
    now: () => now,
  });
  const comes = (bytesPerS: number, ms: number, isInflight = true): number | undefined => {
    let missed: number | undefined;
    for (let at = 0; at < ms; at += 100) {
      watch.wait();
      now += 100;
      missed = watch.took(bytesPerS / 10, isInflight);
    }
    return missed;
  };
  return { comes, watch, tracker };
}

test('a source slower than the setting is too slow, after five seconds', () => {
  const { comes } = body({});
  assert.equal(comes(900_000, 4_900), undefined);
  assert.equal(comes(900_000, 100), 1_000_000);
  // Said until a window is better.
  assert.equal(comes(2_000_000, 4_900), 1_000_000);
  assert.equal(comes(2_000_000, 100), undefined);
});

test('what the upstream gave lately says more than the setting, faster or slower', () => {
  assert.equal(body({ rate: 10_000_000 }).comes(4_900_000, 5_000), 5_000_000);
  assert.equal(body({ rate: 10_000_000 }).comes(5_100_000, 5_000), undefined);
  assert.equal(body({ rate: 400_000 }).comes(210_000, 5_000), undefined);
});

test('bodies that share the link share what is asked of them', () => {
  assert.equal(body({ transfers: 4 }).comes(260_000, 5_000), undefined);
  assert.equal(body({ transfers: 4 }).comes(240_000, 5_000), 1_000_000);
});

test('one that has all of it must be faster, sooner', () => {
  assert.equal(body({}).comes(300_000, 1_500, false), 512 * 1024);
  assert.equal(body({}).comes(300_000, 1_500, true), undefined);
  let now = 0;
  const plain = new ThroughputWatch({
    sharing: undefined,
    bounds: { minRate: 0, wantedRate: undefined },
    total: (rate) => rate,
    now: () => now,
  });
  plain.wait();
  now += 6_000;
  assert.equal(plain.took(6 * 512 * 1024, false), undefined);
});

const GIB = 1024 ** 3;

test('a source in flight that gives less than it should is told of soon, and then more rarely', () => {
  const { comes, watch } = body({ wantedRate: 2_000_000 });
  const told: number[] = [];
  for (let ms = 100; ms <= 4_900; ms += 100) {
    comes(1_900_000, 100);
    if (watch.lack(GIB) === 2_000_000) told.push(ms);
  }
  assert.deepEqual(told, [1_000, 1_500, 2_000, 3_000, 4_500]);
});

test('what is no lack of the source is not told of', () => {
  const wantedRate = 2_000_000;
  const lackOf = (
    of: ReturnType<typeof body>,
    { rate = 1_000_000, isInflight = true, rest = GIB } = {},
  ) => {
    of.comes(rate, 1_000, isInflight);
    return of.watch.lack(rest);
  };
  assert.equal(lackOf(body({ wantedRate })), wantedRate);
  assert.equal(lackOf(body({})), undefined, 'nothing is known of the registry');
  assert.equal(lackOf(body({ wantedRate }), { rate: wantedRate }), undefined, 'it is fast enough');
  assert.equal(lackOf(body({ wantedRate }), { isInflight: false }), undefined, 'it has all of it');
  assert.equal(lackOf(body({ wantedRate }), { rest: 900_000 }), undefined, 'the rest soon comes');
  assert.equal(lackOf(body({ wantedRate, transfers: 2 })), undefined, 'others take the link');
  const busy = body({ wantedRate });
  busy.tracker.flowing = wantedRate;
  assert.equal(lackOf(busy), undefined, 'what this host leads takes the link');
});

test('time without waiting does not count', () => {
  let now = 0;
  const tracker = new FakeTrackerClient();
  const sharing = new Sharing(tracker, {
    inflightWaitMs: 2_000,
    starvedWaitMs: 2_000,
    minSourceRate: 1_000_000,
  });
  const watch = new ThroughputWatch({
    sharing,
    bounds: { minRate: sharing.minRate('registry.example'), wantedRate: undefined },
    total: (rate) => rate,
    now: () => now,
  });
  for (let i = 0; i < 100; i += 1) {
    now += 1_000;
    watch.wait();
    now += 100;
    assert.equal(watch.took(110_000, true), undefined);
  }
});

test('bodies that share a link unevenly are judged by what they come to in all', () => {
  const transfers = new Transfers();
  const digest = digestOf(Buffer.from('a body'));
  const body = () => ({ digest, spoil: () => {} });
  const [a, b, c] = [body(), body(), body()];
  for (const one of [a, b, c]) transfers.add(one);
  assert.equal(transfers.total(a, 100), 300, 'of the others nothing is known yet');
  assert.equal(transfers.total(b, 1_000), 2_100);
  assert.equal(transfers.total(c, 10), 1_110);
  transfers.delete(b);
  assert.equal(transfers.total(c, 10), 110);
  assert.equal(transfers.total(body(), 7), 110, 'one that is not among them changes nothing');
});
