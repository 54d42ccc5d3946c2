import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestKey, find, startFleet, startNode, summary, until, untilFound } from './fleet.ts';

test("two nodes find each other's keys in both directions", async (t) => {
  const a = await startNode(t);
  const b = await startNode(t, { peers: [a.endpoint] });
  a.router.advertise([digestKey(1), 'docker.io/library/a:1']);
  b.router.advertise([digestKey(2)]);
  const fromA = await untilFound(b, digestKey(1));
  assert.deepEqual(fromA.candidates, [
    { peerId: a.router.peerId, addresses: [`127.0.0.1:${a.registryPort}`] },
  ]);
  assert.deepEqual((await untilFound(b, 'docker.io/library/a:1')).ids, [a.router.peerId]);
  assert.deepEqual((await untilFound(a, digestKey(2))).ids, [b.router.peerId]);
});

test('a lone node runs, answers a miss at once and is found by a peer that comes late', async (t) => {
  const lone = await startNode(t, { peers: ['127.0.0.1:1'] });
  lone.router.advertise([digestKey(1)]);
  const miss = await find(lone, digestKey(2));
  assert.deepEqual(miss.ids, []);
  assert.ok(miss.totalMs < 50, `miss took ${miss.totalMs} ms`);
  await sleep(1_500);
  const late = await startNode(t, { peers: [lone.endpoint] });
  assert.deepEqual((await untilFound(late, digestKey(1))).ids, [lone.router.peerId]);
});

test('ten nodes know each other and find every key that any of them has', async (t) => {
  const nodes = await startFleet(t, 10);
  for (const [index, { router }] of nodes.entries()) router.advertise([digestKey(index)]);
  for (const [index, holder] of nodes.entries()) {
    for (const node of nodes) {
      if (node === holder) continue;
      const found = await untilFound(node, digestKey(index));
      assert.deepEqual(found.ids, [holder.router.peerId]);
    }
  }
  const first: number[] = [];
  const miss: number[] = [];
  for (const node of nodes) {
    for (let index = 0; index < 10; index++) {
      if (nodes[index] !== node) first.push((await find(node, digestKey(index))).firstMs);
      miss.push((await find(node, digestKey(1000 + index))).totalMs);
    }
  }
  await sleep(6_000); // until the hits are forgotten: the cold figures
  const cold: number[] = [];
  for (const node of nodes) {
    for (let index = 0; index < 10; index++) {
      if (nodes[index] !== node) cold.push((await find(node, digestKey(index))).firstMs);
    }
  }
  t.diagnostic(
    `cold first provider ${summary(cold)}; remembered ${summary(first)}; miss ${summary(miss)}`,
  );
});

test('a key that many nodes hold yields each of them once, and never the asker', async (t) => {
  const nodes = await startFleet(t, 5);
  for (const { router } of nodes) router.advertise([digestKey(1)]);
  for (const node of nodes) {
    const { ids } = await untilFound(node, digestKey(1), 4);
    assert.equal(new Set(ids).size, ids.length);
    assert.ok(!ids.includes(node.router.peerId));
  }
});

test('the same key asked twice at once gives both callers everything', async (t) => {
  const [a, b, c] = await startFleet(t, 3);
  assert.ok(a && b && c);
  b.router.advertise([digestKey(1)]);
  c.router.advertise([digestKey(1)]);
  await untilFound(a, digestKey(1), 2);
  const both = await Promise.all([find(a, digestKey(1)), find(a, digestKey(1))]);
  for (const { ids } of both) assert.equal(ids.length, 2);
});

test('a lookup ends without throwing when its signal is aborted', async (t) => {
  const [a] = await startFleet(t, 2);
  assert.ok(a);
  for await (const _ of a.router.lookup(digestKey(9), AbortSignal.abort())) assert.fail();
  const controller = new AbortController();
  const ended = (async () => {
    for await (const _ of a.router.lookup(digestKey(9), controller.signal)) assert.fail();
  })();
  controller.abort();
  await ended;
});

test('a node no longer names itself for a key that it has withdrawn', async (t) => {
  const [a, b] = await startFleet(t, 2);
  assert.ok(a && b);
  const keys = [digestKey(1), digestKey(2)];
  a.router.advertise(keys);
  await untilFound(b, digestKey(1));
  a.router.withdraw([digestKey(1)]);
  // A third node asks the holder, whose own answer must not name itself; b still may, until its
  // record expires.
  const c = await startNode(t, { peers: [a.endpoint] });
  await until(() => c.router.peers() === 2);
  assert.deepEqual((await untilFound(c, digestKey(2))).ids, [a.router.peerId]);
  await b.stop();
  await until(() => c.router.peers() === 1);
  assert.deepEqual((await find(c, digestKey(1))).ids, []);
});

test('a node that joins late gets its records, so that the old holders may go', async (t) => {
  const [a, b] = await startFleet(t, 2);
  assert.ok(a && b);
  a.router.advertise([digestKey(1)]);
  await untilFound(b, digestKey(1));
  const late = await startNode(t, { peers: [b.endpoint] });
  await until(() => late.router.peers() === 2);
  await sleep(300);
  await b.stop();
  const last = await startNode(t, { peers: [late.endpoint] });
  await until(() => last.router.peers() >= 1);
  assert.ok((await untilFound(last, digestKey(1))).ids.includes(a.router.peerId));
});

test('a peer that was restarted gets the records that it held again', async (t) => {
  const a = await startNode(t);
  const dataDir = await mkdtemp(join(tmpdir(), 'spegel-router-'));
  t.after(() => rm(dataDir, { recursive: true }));
  const first = await startNode(t, { peers: [a.endpoint], dataDir });
  a.router.advertise([digestKey(1)]);
  await untilFound(first, digestKey(1));
  await first.stop();
  const again = await startNode(t, { peers: [a.endpoint], dataDir, port: first.port });
  assert.equal(again.router.peerId, first.router.peerId);
  await until(() => again.router.peers() === 1);
  assert.deepEqual((await untilFound(again, digestKey(1))).ids, [a.router.peerId]);
});
