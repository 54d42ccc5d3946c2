import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Libp2p } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { DHT_PROTOCOL } from '../../../lib/routing/constants.ts';
import type { DhtClient } from '../../../lib/routing/dht/client.ts';
import { RoutingTable } from '../../../lib/routing/dht/routing-table.ts';
import { Membership } from '../../../lib/routing/membership/membership.ts';

const newId = async () => peerIdFromPrivateKey(await generateKeyPair('Ed25519'));

test('an identify that ends after the goodbye of its peer does not bring the peer back', async (t) => {
  const peerId = await newId();
  const open = { id: 'open at the goodbye' };
  const libp2p = Object.assign(new EventTarget(), {
    peerId: await newId(),
    getConnections: () => [open],
  });
  const client = {
    isConnected: () => true,
    isConnectedTo: () => true,
    remoteIpsOf: () => [],
    hangUp: () => {},
    forget: () => {},
    findNode: () => Promise.reject(new Error('not asked here')),
  };
  const table = new RoutingTable();
  const membership = new Membership({
    libp2p: libp2p as unknown as Libp2p,
    table,
    client: client as unknown as DhtClient,
    peersTold: 8,
    isOnLoopback: () => true,
    onSelf: () => {},
    onJoined: () => {},
    onReturned: () => {},
    onLeft: () => {},
  });
  membership.start();
  t.after(() => membership.stop());
  const identify = (connection: { readonly id: string }) => {
    const detail = { peerId, protocols: [DHT_PROTOCOL], listenAddrs: [], connection };
    libp2p.dispatchEvent(new CustomEvent('peer:identify', { detail }));
  };
  identify(open);
  assert.equal(table.size, 1);
  membership.peerLeaves(peerId.toString());
  assert.equal(table.size, 0);
  identify(open);
  assert.equal(table.size, 0, 'by a connection that it had when it left');
  assert.ok(membership.isGone(peerId.toString()));
  identify({ id: 'opened later' });
  assert.equal(table.size, 1, 'by a new connection');
  assert.ok(!membership.isGone(peerId.toString()));
});
