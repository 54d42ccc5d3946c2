import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DownloadRate, UpstreamRates } from '../../lib/tracker/download-rates.ts';

const MIB = 1024 * 1024;
const HOUR_MS = 3_600_000;
const start = { have: 0, at: 0 };

test('a led download that is too fast for a window tells a lower bound of the rate', () => {
  let now = 0;
  const rates = new UpstreamRates(() => now);
  const complete = (bytes: number, ms: number) =>
    rates.completed('a.example', start, { have: bytes, at: ms });
  complete(3 * MIB, 10);
  assert.equal(rates.get('a.example'), undefined, 'so little says nothing');
  complete(32 * MIB, 800);
  assert.equal(rates.get('a.example'), 40 * MIB);
  complete(32 * MIB, 1_600);
  assert.equal(rates.get('a.example'), 40 * MIB, 'a slower one changes nothing');
  complete(32 * MIB, 400);
  assert.equal(rates.get('a.example'), 80 * MIB);
  assert.equal(rates.get('b.example'), undefined, 'another one may be far away');
  now += HOUR_MS;
  assert.equal(rates.get('a.example'), undefined);
});

test('the download rate is that of all contents in the last two seconds', () => {
  const rate = new DownloadRate();
  for (let at = 200; at <= 2_000; at += 200) {
    for (const _content of ['a', 'b']) rate.grew(100_000, at);
  }
  const megabytes = (now: number) => Math.round(rate.get(now) / 100_000) / 10;
  assert.equal(megabytes(2_000), 1.1, 'from the first of them on');
  assert.equal(megabytes(3_000), 0.6, 'nothing since');
  assert.equal(rate.get(4_200), 0);
});

test('what a link carried is known for an hour', () => {
  const rate = new DownloadRate();
  rate.grew(4 * MIB, 0);
  rate.grew(4 * MIB, 1_000);
  assert.equal(rate.best(1_000), 8 * MIB);
  rate.grew(MIB, 10_000);
  assert.equal(rate.best(10_000), 8 * MIB);
  assert.equal(rate.best(HOUR_MS + 1_000), 0);
});
