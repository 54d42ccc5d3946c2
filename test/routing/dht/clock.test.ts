import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { REFRESH_AFTER } from '../../../lib/routing/dht/constants.ts';
import { multihashOf } from '../../../lib/routing/dht/keys.ts';
import { ProviderStore } from '../../../lib/routing/dht/provider-store.ts';
import {
  type Cleanup,
  digestKey,
  find,
  freePort,
  startFleet,
  startNode,
  until,
  untilFound,
} from '../libp2p/fleet.ts';
import { keyIn, receiver, Told } from './told.ts';

const HOUR_MS = 3_600_000;
const { now } = Date;

/** Puts this process's wall clock forward or back until the end of the test. */
function shiftClock(t: Cleanup, ms: number): void {
  Date.now = () => now() + ms;
  t.after(() => {
    Date.now = now;
  });
}

test('a wall clock that is put an hour forward or back changes nothing', async (t) => {
  const port = await freePort();
  const lonely = await startNode(t, { peers: [`127.0.0.1:${port}`] });
  const [asker, holder] = await startFleet(t, 3);
  assert.ok(asker && holder);
  holder.router.advertise([digestKey(1)]);
  await untilFound(asker, digestKey(1));
  for (const shift of [HOUR_MS, -HOUR_MS]) {
    shiftClock(t, shift);
    assert.deepEqual((await find(asker, digestKey(1))).ids, [holder.router.peerId]);
    assert.equal(asker.router.peers(), 2);
  }
  await startNode(t, { port });
  await until(() => lonely.router.peers() === 1);
});

for (const [name, shift] of [
  ['forward', HOUR_MS],
  ['back', -HOUR_MS],
] as const) {
  test(`with the clock put an hour ${name}, records count as long as they said`, async (t) => {
    const store = new ProviderStore();
    const own = { peerId: 'a', id: Buffer.from('a'), addresses: [Buffer.from('address')] };
    const [short, long] = [multihashOf('short'), multihashOf('long')];
    store.add(short, own, 500);
    store.add(long, own, HOUR_MS / 2);
    shiftClock(t, shift);
    await sleep(1_000);
    assert.equal(store.providers(long, 1).length, 1, 'it was lost');
    assert.equal(store.providers(short, 1).length, 0, 'it still counts');
    store.sweep();
    assert.equal(store.size, 1);
  });

  test(`with the clock put an hour ${name}, own keys are told as often as before`, async (t) => {
    const validityMs = 1_000;
    const told = new Told(t, validityMs);
    const peer = receiver(1);
    await told.join(peer);
    told.advertiser.provide(['key']);
    const times = () => told.times(peer, keyIn('key'));
    await until(() => times().length === 1);
    shiftClock(t, shift);
    await until(() => times().length >= 4, 10 * validityMs);
    const [first = 0, , , last = 0] = times();
    // The second time comes after half an interval at the earliest.
    assert.ok(last - first > 2 * validityMs * REFRESH_AFTER, `${last - first} ms`);
  });
}
