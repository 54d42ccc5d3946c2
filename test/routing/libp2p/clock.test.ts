import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestKey, find, freePort, startFleet, startNode, until, untilFound } from './fleet.ts';

const HOUR_MS = 3_600_000;

test('a wall clock that is put an hour forward or back changes nothing', async (t) => {
  const { now } = Date;
  t.after(() => {
    Date.now = now;
  });
  const port = await freePort();
  const lonely = await startNode(t, { peers: [`127.0.0.1:${port}`] });
  const [asker, holder] = await startFleet(t, 3);
  assert.ok(asker && holder);
  holder.router.advertise([digestKey(1)]);
  await untilFound(asker, digestKey(1));
  for (const shift of [HOUR_MS, -HOUR_MS]) {
    Date.now = () => now() + shift;
    assert.deepEqual((await find(asker, digestKey(1))).ids, [holder.router.peerId]);
    assert.equal(asker.router.peers(), 2);
  }
  await startNode(t, { port });
  await until(() => lonely.router.peers() === 1);
});
