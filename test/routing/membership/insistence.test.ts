import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DhtClient } from '../../../lib/routing/dht/client.ts';
import { Identify } from '../../../node_modules/@libp2p/identify/dist/src/identify.js';
import { digestKey, startNode, until, untilFound } from '../libp2p/fleet.ts';

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
  // Another check may be under way, which counts no silence.
  await until(() => {
    first.router.suspect(second.router.peerId);
    return silences >= 3;
  });
  await sleep(1_000);
  await until(() => first.router.peers() === 1 && second.router.peers() === 1);
  await sleep(2_000);
  assert.deepEqual([first.router.peers(), second.router.peers()], [1, 1]);
});

test('a peer that says goodbye and stays is met again', { timeout: 60_000 }, async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'spegel-twin-'));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  const first = await startNode(t);
  const second = await startNode(t, { peers: [first.endpoint], dataDir });
  await until(() => first.router.peers() === 1);
  // A second process with the same key, started by mistake, ends and says goodbye for both.
  const twin = await startNode(t, { peers: [first.endpoint], dataDir });
  await until(() => twin.router.peers() >= 1);
  // By then the first node has finished its identify.
  await sleep(500);
  await twin.router.leave();
  assert.equal(first.router.peers(), 0);
  await twin.stop();
  await until(() => first.router.peers() === 1, 40_000);
  second.router.advertise([digestKey(1)]);
  assert.deepEqual((await untilFound(first, digestKey(1))).ids, [second.router.peerId]);
});
