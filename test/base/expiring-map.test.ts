import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ExpiringMap } from '../../lib/base/expiring-map.ts';

test('an expiring map is bounded', () => {
  const map = new ExpiringMap<number>(3);
  for (let at = 0; at < 10; at += 1) map.set(`${at}`, at, 1_000);
  assert.deepEqual([map.get('6'), map.get('7'), map.get('8'), map.get('9')], [undefined, 7, 8, 9]);
});
