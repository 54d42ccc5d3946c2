import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConcurrencyLimit } from '../../lib/base/concurrency-limit.ts';

test('so many run at once, in the order of their calls, whatever becomes of them', async () => {
  const places = new ConcurrencyLimit(2);
  const begun: number[] = [];
  let running = 0;
  let most = 0;
  const work = (id: number) => async () => {
    begun.push(id);
    most = Math.max(most, ++running);
    await sleep(5);
    running--;
    if (id % 2 === 1) throw new Error(String(id));
    return id;
  };
  const outcomes = await Promise.allSettled([0, 1, 2, 3, 4].map((id) => places.run(work(id))));
  assert.deepEqual(begun, [0, 1, 2, 3, 4]);
  assert.equal(most, 2);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
  );
});
