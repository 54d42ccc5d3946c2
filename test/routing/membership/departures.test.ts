import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startLoneMembership } from './lone-membership.ts';

test('an identify that ends after the goodbye of its peer does not bring the peer back', async (t) => {
  const open = { id: 'open at the goodbye' };
  const lone = await startLoneMembership(t, { isConnected: true, connections: [open] });
  const { membership, table, identify } = lone;
  const peerId = lone.peerId.toString();
  identify(open);
  assert.equal(table.size, 1);
  membership.peerLeaves(peerId);
  assert.equal(table.size, 0);
  identify(open);
  assert.equal(table.size, 0, 'by a connection that it had when it left');
  assert.ok(membership.isGone(peerId));
  identify({ id: 'opened later' });
  assert.equal(table.size, 1, 'by a new connection');
  assert.ok(!membership.isGone(peerId));
});
