import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DhtClient } from '../../../lib/routing/libp2p/client.ts';
import { Identify } from '../../../node_modules/@libp2p/identify/dist/src/identify.js';
import { startNode, until } from './fleet.ts';

test('an identify that fails at both ends does not part two hosts for good', async (t) => {
  const { _identify: identify } = Identify.prototype;
  t.after(() => {
    Identify.prototype._identify = identify;
  });
  let failures = 0;
  Identify.prototype._identify = async function (...args) {
    if (++failures <= 2) throw new Error('timed out');
    return identify.apply(this, args);
  };
  const first = await startNode(t);
  const second = await startNode(t, { peers: [first.endpoint] });
  await until(() => failures >= 2);
  assert.deepEqual([first.router.peers(), second.router.peers()], [0, 0]);
  await until(() => first.router.peers() === 1 && second.router.peers() === 1);
});

test('a peer that is given up while it comes back is met again', async (t) => {
  const { ping } = DhtClient.prototype;
  t.after(() => {
    DhtClient.prototype.ping = ping;
  });
  const first = await startNode(t);
  const second = await startNode(t, { peers: [first.endpoint] });
  await until(() => first.router.peers() === 1 && second.router.peers() === 1);
  let silences = 0;
  DhtClient.prototype.ping = async function (peer, ms) {
    if (++silences > 3) return ping.call(this, peer, ms);
    await sleep(300);
    throw new Error('silent');
  };
  first.router.suspect(second.router.peerId);
  await until(() => silences >= 3);
  await sleep(1_000);
  await until(() => first.router.peers() === 1 && second.router.peers() === 1);
  await sleep(2_000);
  assert.deepEqual([first.router.peers(), second.router.peers()], [1, 1]);
});
