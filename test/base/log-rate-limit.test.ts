import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogRateLimit } from '../../lib/base/log-rate-limit.ts';

test('a line that other hosts can cause is logged once for each period and key, up to a number', () => {
  let now = 0;
  const limit = new LogRateLimit(1_000, 2, () => now);
  assert.deepEqual(
    ['a', 'a', 'b', 'c', 'a'].map((key) => limit.admit(key)),
    [0, undefined, 1, undefined, undefined],
  );
  now = 1_000;
  assert.deepEqual([limit.admit('a'), limit.admit('a')], [2, undefined]);
});
