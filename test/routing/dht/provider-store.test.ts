import assert from 'node:assert/strict';
import { test } from 'node:test';
import { multihashOf } from '../../../lib/routing/dht/keys.ts';
import { ProviderStore } from '../../../lib/routing/dht/provider-store.ts';

const provider = (peerId: string) => ({
  peerId,
  id: Buffer.from(peerId),
  addresses: [Buffer.from('a')],
});
const peersOf = (store: ProviderStore, key: Uint8Array, now: number, max = 100) =>
  store
    .providers(key, max, now)
    .map(({ peerId }) => peerId)
    .toSorted();
const key = multihashOf('key');

test('a record counts until it expires, swept or not, and renewal prolongs it', () => {
  const store = new ProviderStore();
  store.add(key, provider('a'), 100, 0);
  store.add(key, provider('b'), 100, 0);
  store.add(key, provider('b'), 100, 50);
  assert.deepEqual(peersOf(store, key, 99), ['a', 'b']);
  assert.deepEqual(peersOf(store, key, 100), ['b']);
  assert.equal(store.ownRecord(key, 'a', 100), undefined);
  assert.equal(store.ownRecord(key, 'b', 100)?.peerId, 'b');
  assert.equal(store.size, 2);
  store.sweep(100);
  assert.equal(store.size, 1);
  store.sweep(150);
  assert.equal(store.size, 0);
});

test('the bounds hold per peer and in all, and expiry makes room', () => {
  const store = new ProviderStore({ maxRecords: 3, maxRecordsPerPeer: 2 });
  const keys = [0, 1, 2, 3].map((index) => multihashOf(String(index)));
  const add = (peer: string, index: number, now = 0) =>
    store.add(keys[index] ?? key, provider(peer), 100, now);
  assert.deepEqual([add('a', 0), add('a', 1), add('a', 2)], [true, true, false]);
  assert.deepEqual([add('b', 0), add('b', 1), add('a', 0)], [true, false, true]);
  store.sweep(100);
  assert.equal(store.size, 0);
  assert.equal(add('a', 2, 100), true);
});

test('of many providers each call returns another choice, with their newest addresses', () => {
  const store = new ProviderStore();
  for (let index = 0; index < 100; index++) store.add(key, provider(`peer${index}`), 100, 0);
  const seen = new Set<string>();
  for (let round = 0; round < 100; round++) {
    const some = peersOf(store, key, 0, 10);
    assert.equal(new Set(some).size, 10);
    for (const peer of some) seen.add(peer);
  }
  assert.ok(seen.size > 90);
  store.add(multihashOf('other'), { ...provider('peer1'), addresses: [Buffer.from('b')] }, 100, 0);
  assert.deepEqual(store.ownRecord(key, 'peer1', 0)?.addresses.map(String), ['98']);
});

test('a hundred thousand records are held and swept', (t) => {
  const store = new ProviderStore();
  const before = process.memoryUsage().heapUsed;
  const started = Date.now();
  for (let index = 0; index < 100_000; index++) {
    store.add(multihashOf(String(index % 25_000)), provider(`peer${index % 20}`), 100, 0);
  }
  const added = Date.now() - started;
  const bytes = (process.memoryUsage().heapUsed - before) / store.size;
  for (let call = 0; call < 20; call++) store.sweep(200);
  t.diagnostic(`${store.size} left; added in ${added} ms, some ${bytes.toFixed(0)} bytes each`);
  assert.equal(store.size, 0);
});

test("a peer's records are left out while it is gone, and a new one brings it back", () => {
  const store = new ProviderStore();
  store.add(key, provider('a'), 100, 0);
  store.add(key, provider('b'), 100, 0);
  store.markGone('a', true);
  store.markGone('nobody', true);
  assert.deepEqual(peersOf(store, key, 1), ['b']);
  store.markGone('a', false);
  assert.deepEqual(peersOf(store, key, 1), ['a', 'b']);
  store.markGone('a', true);
  store.add(multihashOf('other'), provider('a'), 100, 1);
  assert.deepEqual(peersOf(store, key, 1), ['a', 'b']);
});

test('the records of a peer that is gone make room after a while', () => {
  const store = new ProviderStore({ maxRecords: 1, maxRecordsPerPeer: 1 });
  const ttl = 86_400_000;
  store.add(key, provider('a'), ttl, 0);
  store.markGone('a', true, 0);
  store.sweep(119_000);
  assert.equal(store.add(key, provider('b'), ttl, 119_000), false);
  store.sweep(121_000);
  store.sweep(121_000);
  assert.equal(store.add(key, provider('b'), ttl, 121_000), true);
  assert.deepEqual(peersOf(store, key, 121_000), ['b']);
});

test('in a full store the provider with the most records makes room, not the newest one', (t) => {
  const store = new ProviderStore({ maxRecords: 50_000, maxRecordsPerPeer: 45_000 });
  const ttl = 86_400_000;
  const keyOf = (name: string, index: number) => multihashOf(`${name}:${index}`);
  for (let index = 0; index < 4_000; index++)
    store.add(keyOf('honest', index), provider('h'), ttl, 0);
  for (let index = 0; index < 50_000; index++)
    store.add(keyOf('flood', index), provider('f'), ttl, 0);
  for (let index = 0; index < 6_000; index++)
    store.add(keyOf('more', index), provider('g'), ttl, 0);
  assert.ok(store.size > 49_000, `${store.size} records`);
  const started = performance.now();
  for (let index = 0; index < 3_000; index++) {
    assert.ok(store.add(keyOf('late', index), provider('late'), ttl, 0), `record ${index}`);
  }
  t.diagnostic(`3,000 records in ${(performance.now() - started).toFixed()} ms`);
  assert.ok(store.size <= 50_000);
  for (let index = 0; index < 4_000; index++) {
    assert.deepEqual(peersOf(store, keyOf('honest', index), 1), ['h']);
  }
  for (let index = 0; index < 3_000; index++) {
    assert.deepEqual(peersOf(store, keyOf('late', index), 1), ['late']);
  }
});

test('of providers with as many records none makes room for another', () => {
  const store = new ProviderStore({ maxRecords: 4, maxRecordsPerPeer: 4 });
  for (const peer of ['a', 'b', 'c', 'd']) assert.ok(store.add(key, provider(peer), 100, 0));
  assert.ok(!store.add(key, provider('e'), 100, 0));
});
