import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InflightWaits } from '../../lib/mirror/sharing.ts';

test('a wait in vain switches waiting off for a minute', () => {
  let now = 0;
  const waits = new InflightWaits(() => now);
  assert.equal(waits.isOff, false);
  waits.switchOff();
  now += 59_999;
  assert.equal(waits.isOff, true);
  now += 1;
  assert.equal(waits.isOff, false);
});
