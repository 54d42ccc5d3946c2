import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RepairBackoff } from '../../lib/settings-watch/repair-backoff.ts';

const SETTINGS = { minMs: 5_000, maxMs: 300_000, quietMs: 600_000 };

/** Times at which it is asked, when something is wrong each so many milliseconds until `endMs`. */
function askedAt(everyMs: number, endMs: number): number[] {
  const backoff = new RepairBackoff(SETTINGS);
  const times: number[] = [];
  for (let now = 0; now <= endMs; now += everyMs) {
    if (backoff.onDrift(now).waitMs > 0) continue;
    backoff.onRequest(now);
    times.push(now / 1_000);
  }
  return times;
}

test('at once, then after pauses that double up to five minutes', () => {
  assert.deepEqual(askedAt(1_000, 1_600_000), [0, 5, 15, 35, 75, 155, 315, 615, 915, 1_215, 1_515]);
});

test('another program that writes each minute is followed ever more slowly', () => {
  assert.deepEqual(
    askedAt(60_000, 1_800_000),
    [0, 60, 120, 180, 240, 360, 540, 840, 1_140, 1_440, 1_740],
  );
});

test('after ten quiet minutes it begins anew', () => {
  const backoff = new RepairBackoff(SETTINGS);
  for (const now of [0, 5_000, 15_000, 35_000]) {
    assert.equal(backoff.onDrift(now).waitMs, 0);
    backoff.onRequest(now);
  }
  assert.deepEqual(backoff.onDrift(40_000), { waitMs: 35_000, isNew: false });
  assert.deepEqual(backoff.onDrift(640_000), { waitMs: 0, isNew: true });
  assert.equal(backoff.requests, 0);
});
