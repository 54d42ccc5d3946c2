import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  digestKey,
  find,
  freePort,
  spawnNode,
  startFleet,
  startNode,
  until,
  untilFound,
} from '../libp2p/fleet.ts';

// Concurrent, because the tests wait most of the time.
suite('membership', { concurrency: 3 }, () => {
  test('a node that stops orderly is out of every table at once, and not offered any more', async (t) => {
    const nodes = await startFleet(t, 5);
    const [asker, leaver] = nodes;
    assert.ok(asker && leaver);
    leaver.router.advertise([digestKey(1)]);
    await untilFound(asker, digestKey(1));
    await leaver.router.leave();
    const others = nodes.filter((node) => node !== leaver);
    // The node is still connected and answers, so no failure has told the others.
    assert.deepEqual(
      others.map(({ router }) => router.peers()),
      [3, 3, 3, 3],
    );
    for (const node of others) assert.deepEqual((await find(node, digestKey(1))).ids, []);
    await leaver.stop();
    const again = await startNode(t, { port: leaver.port, peers: [asker.endpoint] });
    await until(() => others.every(({ router }) => router.peers() === 4));
    assert.equal(again.router.peers(), 4);
  });

  test('a frozen peer that fails a question is out within seconds, and back when it goes on', async (t) => {
    const [asker, other] = await startFleet(t, 2);
    assert.ok(asker && other);
    const frozen = await spawnNode(t, [asker.endpoint]);
    await until(() => asker.router.peers() === 2 && other.router.peers() === 2);
    await untilFound(asker, 'frozen:held');
    frozen.child.kill('SIGSTOP');
    const started = Date.now();
    await find(asker, digestKey(1));
    await until(() => asker.router.peers() === 1, 40_000);
    t.diagnostic(`out of the asker's table after ${Date.now() - started} ms`);
    assert.deepEqual((await find(asker, 'frozen:held')).ids, [], 'its own record is not offered');
    frozen.child.kill('SIGCONT');
    const thawed = Date.now();
    await until(() => asker.router.peers() === 2, 40_000);
    assert.deepEqual((await untilFound(asker, 'frozen:held')).ids, [frozen.id]);
    t.diagnostic(`back after ${Date.now() - thawed} ms`);
  });

  test('a peer that was killed is found again when it comes back, whichever peers its list names', async (t) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'spegel-membership-'));
    t.after(() => rm(dataDir, { recursive: true, force: true }));
    const [first, second] = await startFleet(t, 2);
    assert.ok(first && second);
    const doomed = await spawnNode(t, [first.endpoint], { dataDir });
    await until(() => first.router.peers() === 2);
    doomed.child.kill('SIGKILL');
    await until(() => first.router.peers() === 1 && second.router.peers() === 1);
    const again = await spawnNode(t, [], { dataDir, endpoint: doomed.endpoint });
    assert.equal(again.id, doomed.id);
    await until(() => first.router.peers() === 2 && second.router.peers() === 2, 60_000);
  });

  test('a host that was set up anew replaces its former identity', async (t) => {
    const [first, second] = await startFleet(t, 2);
    assert.ok(first && second);
    const port = await freePort();
    const old = await spawnNode(t, [first.endpoint], { endpoint: `127.0.0.1:${port}` });
    await until(() => first.router.peers() === 2 && second.router.peers() === 2);
    old.child.kill('SIGKILL');
    await once(old.child, 'exit');
    const anew = await startNode(t, {
      port,
      peers: [`/ip4/127.0.0.1/tcp/${port}/p2p/${old.id}`, first.endpoint],
    });
    await until(() => anew.router.peers() === 2 && first.router.peers() === 2);
    anew.router.advertise([digestKey(1)]);
    assert.deepEqual((await untilFound(second, digestKey(1))).ids, [anew.router.peerId]);
    assert.deepEqual((await find(second, 'frozen:held')).ids, []);
  });

  test('two halves that know nothing of each other become one when a list names one of the others', async (t) => {
    const [left, right] = await Promise.all([startFleet(t, 8), startFleet(t, 8)]);
    const peers: string[] = [];
    const lists = { kind: 'test', addresses: async () => peers };
    const bridge = await startNode(t, { peers: [left[0]?.endpoint ?? ''], bootstrappers: [lists] });
    await until(() => bridge.router.peers() === 8);
    peers.push(`/ip4/127.0.0.1/tcp/${right[0]?.port}`);
    bridge.router.recheck();
    const started = Date.now();
    await until(
      () => [...left, ...right, bridge].every(({ router }) => router.peers() === 16),
      60_000,
    );
    t.diagnostic(`one network after ${Date.now() - started} ms`);
  });

  test('records count as long as --advertise-ttl says, are kept up, and end with a withdrawal', async (t) => {
    const [asker, holder] = await startFleet(t, 3, { advertiseTtlMs: 6_000 });
    assert.ok(asker && holder);
    holder.router.advertise([digestKey(1), digestKey(2)]);
    await untilFound(asker, digestKey(1));
    holder.router.withdraw([digestKey(2)]);
    await sleep(9_000);
    assert.deepEqual((await find(asker, digestKey(1))).ids, [holder.router.peerId]);
    assert.deepEqual((await find(asker, digestKey(2))).ids, []);
  });

  test('a lonely node uses next to no CPU, whatever its lists name', async (t) => {
    const dead = await Promise.all(Array.from({ length: 40 }, () => freePort()));
    const lonely = await spawnNode(
      t,
      dead.map((port) => `127.0.0.1:${port}`),
    );
    const costs: number[] = [];
    // The first is still part of the start, and on a noisy machine many cost more than they should.
    for (let window = 0; window < 10 && !costs.some((used) => used < 0.6); window += 1) {
      await sleep(2_000);
      const before = await lonely.cpuSeconds();
      await sleep(6_000);
      costs.push((await lonely.cpuSeconds()) - before);
    }
    t.diagnostic(`CPU-s in 6 s: ${costs.map((used) => used.toFixed(2))}`);
    assert.ok(Math.min(...costs) < 0.6, `${costs} CPU-s in 6 s`);
  });
});

test('a node that meets the first peer late knows all peers within seconds', async (t) => {
  const nodes = await startFleet(t, 10);
  const peers: string[] = [];
  const lists = { kind: 'test', addresses: async () => peers };
  const late = await startNode(t, { bootstrappers: [lists] });
  await sleep(1_500);
  assert.equal(late.router.peers(), 0);
  peers.push(`/ip4/127.0.0.1/tcp/${nodes[3]?.port}`);
  late.router.recheck();
  await until(() => late.router.peers() > 0);
  const met = Date.now();
  await until(() => late.router.peers() === 10, 20_000);
  t.diagnostic(`all known ${Date.now() - met} ms after the first`);
});

test('a fleet that does not fit into one answer is asked for part by part', async (t) => {
  const nodes = await startFleet(t, 24, { peersTold: 8 });
  const late = await startNode(t, { peers: [nodes[3]?.endpoint ?? ''], peersTold: 8 });
  await until(() => late.router.peers() > 0);
  const met = Date.now();
  await until(() => late.router.peers() === 24, 60_000);
  t.diagnostic(`all known ${Date.now() - met} ms after the first`);
});
