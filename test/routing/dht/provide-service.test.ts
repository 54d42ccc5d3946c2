/**
 * Which records receivers get, and when: a real provide service, whose receivers only record the
 * batches.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { REPLICATION } from '../../../lib/routing/constants.ts';
import { REFRESH_AFTER } from '../../../lib/routing/dht/constants.ts';
import { kadPoint, multihashOf } from '../../../lib/routing/dht/keys.ts';
import { until } from '../libp2p/fleet.ts';
import { type Batch, keyIn, receiver, Told } from './told.ts';

const VALIDITY_MS = 3_000;
const INTERVAL_MS = VALIDITY_MS * REFRESH_AFTER;
/**
 * The first round comes after half an interval at the earliest, the others after one. A busy
 * machine is late.
 */
const MIN_GAP_MS = 0.25 * INTERVAL_MS;
const BATCH = 128;
const RECEIVERS = 30;

const keysOf = (count: number, name = 'key') =>
  Array.from({ length: count }, (_, index) => `${name}:${index}`);

/** A receiver's batches by round. A round begins with the first key that is sent again. */
function roundsOf(batches: readonly Batch[], peer: string): Batch[][] {
  const rounds: Batch[][] = [];
  const seen = new Set<string>();
  for (const batch of batches.filter((one) => one.peer === peer)) {
    if (rounds.length === 0 || batch.keys.some((key) => seen.has(key))) {
      rounds.push([]);
      seen.clear();
    }
    rounds.at(-1)?.push(batch);
    for (const key of batch.keys) seen.add(key);
  }
  return rounds;
}

// Concurrent, because the tests wait most of the time.
suite('provide service', { concurrency: true }, () => {
  test('each receiver is told all of its keys once per interval, in full batches', async (t) => {
    const told = new Told(t, VALIDITY_MS);
    const peers = Array.from({ length: RECEIVERS }, (_, index) => receiver(index));
    await told.join(...peers);
    const texts = keysOf(480);
    told.advertiser.provide(texts);
    await sleep(3.5 * INTERVAL_MS);
    // Stops between two rounds, not within one.
    await until(() => performance.now() > (told.batches.at(-1)?.at ?? 0) + 75);
    told.advertiser.stop();
    for (const peer of peers) {
      const own = texts.filter((text) =>
        told.table.closest(kadPoint(multihashOf(text)), REPLICATION).includes(peer),
      );
      const expected = own.map(keyIn).toSorted();
      assert.ok(expected.length > 2 * BATCH, 'more than two batches');
      const rounds = roundsOf(told.batches, peer.peerId);
      assert.ok(rounds.length >= 3 && rounds.length <= 5, `${rounds.length} rounds`);
      for (const round of rounds) {
        const keys = round.flatMap(({ keys }) => keys).toSorted();
        const what = `${keys.length} instead of ${expected.length} keys`;
        assert.ok(keys.join() === expected.join(), what);
        const sizes = round.map(({ keys }) => keys.length);
        assert.ok(
          sizes.slice(0, -1).every((size) => size === BATCH),
          `batches of ${sizes}`,
        );
      }
      const starts = rounds.map(([first]) => first?.at ?? 0);
      for (const [index, at] of starts.slice(1).entries()) {
        const gap = at - (starts[index] ?? 0);
        assert.ok(gap > MIN_GAP_MS, `told again after ${gap} ms: far too soon`);
        assert.ok(gap < VALIDITY_MS, `told again after ${gap} ms: its records have expired`);
      }
    }
  });

  test('a peer that joins gets its keys, and when a peer is gone others get the keys that it held', async (t) => {
    const told = new Told(t, VALIDITY_MS);
    const [late, gone, ...peers] = Array.from({ length: RECEIVERS }, (_, index) => receiver(index));
    assert.ok(late && gone);
    await told.join(gone, ...peers);
    const texts = keysOf(40);
    told.advertiser.provide(texts);
    const isTold = () =>
      texts.every((text) => {
        const holders = told.table.closest(kadPoint(multihashOf(text)), REPLICATION);
        return holders.every((peer) => told.times(peer, keyIn(text)).length > 0);
      });
    await until(isTold);
    assert.equal(told.batches.filter(({ peer }) => peer === late.peerId).length, 0);
    const started = performance.now();
    await told.join(late);
    await until(isTold);
    assert.ok(performance.now() < started + INTERVAL_MS / 2, 'before any refresh');
    told.leave(gone);
    assert.ok(!isTold(), 'others are to hold what it held');
    const left = performance.now();
    await until(isTold);
    assert.ok(performance.now() < left + VALIDITY_MS, 'before what it held has expired');
    const ofGone = told.batches.filter(({ peer }) => peer === gone.peerId).length;
    await sleep(1.5 * INTERVAL_MS);
    assert.equal(told.batches.filter(({ peer }) => peer === gone.peerId).length, ofGone);
  });

  test('fresh keys are sent before those that are due, and a withdrawn one is not sent', async (t) => {
    const told = new Told(t, VALIDITY_MS);
    const peer = receiver(1);
    await told.join(peer);
    const texts = keysOf(2 * BATCH);
    const count = () => told.batches.reduce((sum, { keys }) => sum + keys.length, 0);
    told.advertiser.provide(texts);
    await until(() => count() === texts.length);
    const { promise, resolve: open } = Promise.withResolvers<void>();
    told.gate = promise;
    told.advertiser.peerJoined(peer);
    await until(() => count() > texts.length);
    const fresh = keysOf(10, 'fresh');
    told.advertiser.provide(fresh);
    await until(() => fresh.every((text) => told.advertiser.isProvided(multihashOf(text))));
    const withdrawn = [texts.at(-1) ?? '', fresh.at(-1) ?? ''];
    told.advertiser.withdraw(withdrawn);
    const before = told.batches.length;
    const since = performance.now();
    open();
    await until(() => told.batches.length > before);
    const next = told.batches[before]?.keys ?? [];
    assert.deepEqual(next.slice(0, 9), fresh.slice(0, 9).map(keyIn));
    // They stay unsent during the next refresh, too.
    const again = () => told.times(peer, keyIn('key:0')).some((at) => at > since + MIN_GAP_MS);
    await until(again);
    await sleep(MIN_GAP_MS);
    for (const text of withdrawn) {
      assert.ok(
        told.times(peer, keyIn(text)).every((at) => at < since),
        `${text} was sent`,
      );
      assert.ok(!told.advertiser.isProvided(multihashOf(text)));
    }
  });
});
