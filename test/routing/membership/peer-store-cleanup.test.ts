/** Identities that come and go leave nothing behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Libp2p, PeerId } from '@libp2p/interface';
import type { KadDHT } from '@libp2p/kad-dht';
import { connect, startRawNode } from '../../../lab/routing/plain-node.ts';
import { DHT_PROTOCOL } from '../../../lib/routing/constants.ts';
import { RoutingTable } from '../../../lib/routing/dht/routing-table.ts';
import { PeerStoreCleanup } from '../../../lib/routing/membership/peer-store-cleanup.ts';
import { InboundLimitGater } from '../../../lib/routing/transport/connection-gater.ts';
import { startNode as startLibp2p } from '../../../lib/routing/transport/node.ts';
import { freePort, LOOPBACK, until } from '../libp2p/fleet.ts';
import { newId, startLoneMembership } from './lone-membership.ts';

const COME_AND_GO = 24;
const INVENTED = 400;
const WAIT_MS = 60_000;

const kadSize = ({ services }: Libp2p) =>
  (services.dht as KadDHT & { routingTable: { size: number } }).routingTable.size;
const known = async (node: Libp2p) => (await node.peerStore.all()).map(({ id }) => id.toString());

test('libp2p forgets identities that came and went, and keeps those that are connected', async (t) => {
  const port = await freePort();
  const node = await startLibp2p(
    await generateKeyPair('Ed25519'),
    { version: '0', routerAddress: { host: LOOPBACK, port } },
    () => [`/ip4/${LOOPBACK}/tcp/${port}`],
    { dht: () => {}, providers: () => {}, tracker: undefined, clone: () => {} },
  );
  t.after(() => node.stop());
  const end = new AbortController();
  t.after(() => end.abort());
  const cleanup = new PeerStoreCleanup({ libp2p: node, table: new RoutingTable() });
  cleanup.start(end.signal);

  const raw = async () => {
    const peer = await startRawNode(t);
    await peer.handle(DHT_PROTOCOL, () => {});
    await connect(peer, `${LOOPBACK}:${port}`);
    return peer;
  };
  const stays = await raw();
  for (let count = 0; count < COME_AND_GO; count += 8) {
    const some = await Promise.all(Array.from({ length: 8 }, raw));
    await until(() => kadSize(node) > 0, WAIT_MS);
    await Promise.all(some.map((peer) => peer.stop()));
  }
  await until(async () => (await known(node)).length > COME_AND_GO / 2, WAIT_MS);
  for (let count = 0; count < INVENTED; count += 1)
    await node.peerStore.merge(await newId(), { metadata: { failed: new Uint8Array(1) } });
  assert.ok((await known(node)).length > INVENTED);
  await until(async () => {
    await cleanup.sweep();
    const peers = await known(node);
    return peers.length === 1 && peers[0] === stays.peerId.toString();
  }, WAIT_MS);
  await until(() => kadSize(node) <= 1, WAIT_MS);
});

test('at most a thousand identities are kept between two sweeps', async () => {
  const deleted: PeerId[] = [];
  const libp2p = {
    getConnections: () => [],
    peerStore: { delete: async (peer: PeerId) => void deleted.push(peer) },
    services: { dht: { routingTable: { remove: async () => {} } } },
  };
  const cleanup = new PeerStoreCleanup({
    libp2p: libp2p as unknown as Libp2p,
    table: new RoutingTable(),
  });
  for (let count = 0; count <= 1_000; count += 1)
    cleanup.add({ toString: () => String(count) } as PeerId);
  await until(() => deleted.length === 1_001);
});

test('a peer that disconnects before its identify is handled does not stay in the table', async (t) => {
  let left = 0;
  const { table, identify } = await startLoneMembership(t, {
    isConnected: false,
    onLeft: () => {
      left += 1;
    },
  });
  identify();
  assert.equal(table.size, 1);
  await until(() => table.size === 0 && left === 1, WAIT_MS);
});

test('connections of one network are bounded, at the same time and per second', () => {
  const gater = new InboundLimitGater();
  const now = performance.now();
  const enter = () => gater.enter('10.0.0.1', now);
  const open = Array.from({ length: 300 }, enter).filter((leave) => leave !== undefined);
  // The connection above the budget has to wait, not the one that reaches it.
  assert.ok(open.length === 128 || open.length === 129, `${open.length} at once`);
  assert.ok(gater.enter('10.0.0.2', now) !== undefined, 'another');
  for (const leave of open) leave();
  assert.equal(gater.enter('10.0.0.1', now), undefined, 'no handshake more in this moment');
  const later = Array.from({ length: 1_200 }, (_, index) => now + 100_000 + index * 100);
  const all = later.map((at) => gater.enter('10.0.0.1', at));
  assert.equal(all.indexOf(undefined), 1_024, 'of one network at once');
});
