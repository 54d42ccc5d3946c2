import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RoutingTable, type TablePeer } from '../../../lib/routing/dht/routing-table.ts';
import { LostPeers } from '../../../lib/routing/membership/lost-peers.ts';

const DAY_MS = 24 * 3_600_000;

/** A table peer with only the fields that the tests read. */
const peer = (peerId: string, ...addresses: string[]) =>
  ({ peerId, addresses: addresses.map((address) => Buffer.from(address)) }) as unknown as TablePeer;
const names = (peers: readonly TablePeer[]) => peers.map(({ peerId }) => peerId);

test('peers that are away are tried in turn, for a day', () => {
  const absent = new LostPeers(async () => {});
  for (const text of ['a', 'b', 'c']) absent.add(peer(text), 0);
  assert.deepEqual(names(absent.next(2, 1)), ['a', 'b']);
  assert.deepEqual(names(absent.next(2, 1)), ['c', 'a']);
  assert.equal(absent.delete('b'), true);
  assert.equal(absent.delete('b'), false);
  assert.deepEqual(names(absent.next(9, 1)), ['c', 'a']);
  absent.add(peer('a'), DAY_MS);
  assert.deepEqual(names(absent.next(9, DAY_MS + 1)), ['a']);
  assert.equal(absent.has('c'), false);
});

test('the peer that went first is forgotten first when there are too many', () => {
  const absent = new LostPeers(async () => {});
  for (let at = 0; at < 1_001; at++) absent.add(peer(String(at)), 0);
  assert.equal(absent.has('0'), false);
  assert.equal(absent.next(2_000, 1).length, 1_000);
});

test('the table knows which peer was the last to name an address', () => {
  const table = new RoutingTable();
  table.add(peer('old', 'here'));
  assert.deepEqual(
    table.withAddressOf(peer('new', 'here', 'there')).map(({ peerId }) => peerId),
    ['old'],
  );
  table.add(peer('old', 'moved'));
  assert.deepEqual(table.withAddressOf(peer('new', 'here')), []);
  table.add(peer('new', 'here'));
  assert.deepEqual(table.withAddressOf(peer('new', 'here')), []);
  table.delete('new');
  assert.deepEqual(table.withAddressOf(peer('another', 'here')), []);
});
