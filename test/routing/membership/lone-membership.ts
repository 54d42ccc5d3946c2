import type { TestContext } from 'node:test';
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Libp2p } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { DHT_PROTOCOL } from '../../../lib/routing/constants.ts';
import type { DhtClient } from '../../../lib/routing/dht/client.ts';
import { RoutingTable } from '../../../lib/routing/dht/routing-table.ts';
import { Membership, type MembershipParts } from '../../../lib/routing/membership/membership.ts';

export const newId = async () => peerIdFromPrivateKey(await generateKeyPair('Ed25519'));

export interface LoneOptions {
  /** Whether its connections count as open. */
  readonly isConnected: boolean;
  /** What libp2p says of its connections. */
  readonly connections?: readonly { readonly id: string }[];
  readonly onLeft?: MembershipParts['onLeft'];
}

/**
 * A membership without a network: libp2p is an event target, and no dial and no question succeeds.
 * `identify` is the event of one peer.
 */
export async function startLoneMembership(t: TestContext, options: LoneOptions) {
  const { isConnected, connections = [], onLeft = () => {} } = options;
  const peerId = await newId();
  const libp2p = Object.assign(new EventTarget(), {
    peerId: await newId(),
    getConnections: () => connections,
  });
  const client = {
    isConnected: () => isConnected,
    isConnectedTo: () => isConnected,
    remoteIpsOf: () => [],
    hangUp: () => {},
    forget: () => {},
    dial: () => Promise.reject(new Error('nobody is there')),
    findNode: () => Promise.reject(new Error('nobody is there')),
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
    onLeft,
  });
  membership.start();
  t.after(() => membership.stop());
  const identify = (connection?: { readonly id: string }) => {
    const detail = { peerId, protocols: [DHT_PROTOCOL], listenAddrs: [], connection };
    libp2p.dispatchEvent(new CustomEvent('peer:identify', { detail }));
  };
  return { membership, table, peerId, identify };
}
