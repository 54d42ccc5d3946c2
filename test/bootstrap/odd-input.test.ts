/** What fuzzing found, in its smallest form. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDecodable } from '../../lib/bootstrap/mdns-message.ts';
import { parseBootstrapPeer } from '../../lib/bootstrap/peer.ts';
import { parsePeerInfo } from '../../lib/bootstrap/peer-info.ts';
import { SeenPeers } from '../../lib/bootstrap/seen-peers.ts';
import { IDS } from './ids.ts';

const [ID = '', OTHER = ''] = IDS;

test('a peer id of 64 KiB costs nothing, in a page of peers or in an entry', () => {
  const long = 'oWC5'.repeat(16_384);
  const before = process.threadCpuUsage();
  const page = JSON.stringify([
    { ID: long, Addrs: ['/ip4/10.0.0.1/tcp/1', `/ip4/10.0.0.2/tcp/1/p2p/${long}`] },
  ]);
  assert.deepEqual(parsePeerInfo(page, '10.0.0.9', 5001), ['/ip4/10.0.0.1/tcp/1']);
  assert.throws(
    () => parseBootstrapPeer(`/ip4/10.0.0.1/tcp/1/p2p/${long}`),
    ({ message }: Error) => {
      return message.length < 1_000;
    },
  );
  const { user } = process.threadCpuUsage(before);
  assert.ok(user < 1_000_000, `${user / 1_000} ms`);
});

test('a peer in peers.json that was seen at no time leaves out that one alone', () => {
  const peers = new SeenPeers();
  const addresses = ['/ip4/10.0.0.1/tcp/1'];
  const list = [
    { id: ID, addresses, seen: { toString: 1 } },
    { id: OTHER, addresses, seen: '2026-11-30T00:00:00Z' },
  ];
  peers.load(JSON.stringify({ peers: list }), Date.now());
  assert.deepEqual(peers.addresses(), [`${addresses[0]}/p2p/${OTHER}`]);
});

test('a packet of mDNS is read up to the length of RFC 6762, 17', () => {
  assert.deepEqual(
    [9_000, 9_001].map((length) => isDecodable(Buffer.alloc(length))),
    [true, false],
  );
});

test('a peer id with a line end of Unicode in it is none', () => {
  const id = `${ID.slice(0, 10)}\u2028${ID.slice(11)}`;
  assert.throws(() => parseBootstrapPeer(`/ip4/10.0.0.1/tcp/1/p2p/${id}`));
  const page = JSON.stringify({ ID: id, Addrs: ['/ip4/10.0.0.1/tcp/1'] });
  assert.deepEqual(parsePeerInfo(page, '10.0.0.9', 5001), ['/ip4/10.0.0.1/tcp/1']);
});
