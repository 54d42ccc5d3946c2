import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  digestKey,
  find,
  spawnNode,
  startFleet,
  startNode,
  summary,
  until,
  untilFound,
} from './fleet.ts';

/** Slack for a machine that runs other tests at the same time. */
const SLACK_MS = 400;

test('frozen peers delay a first miss by at most the adaptive timeout, later misses less, and hits not', async (t) => {
  const nodes = await startFleet(t, 4);
  const [asker, holder] = nodes;
  assert.ok(asker && holder);
  const frozen = await Promise.all([1, 2, 3].map(() => spawnNode(t, [asker.endpoint])));
  await until(() => nodes.every(({ router }) => router.peers() === 6));
  holder.router.advertise([digestKey(1), digestKey(2)]);
  await untilFound(asker, digestKey(1));
  await sleep(300);
  for (const { child } of frozen) child.kill('SIGSTOP');
  const hit = await find(asker, digestKey(2));
  assert.deepEqual(hit.ids, [holder.router.peerId]);
  assert.ok(hit.firstMs < SLACK_MS, `hit took ${hit.firstMs} ms`);
  const first = await find(asker, digestKey(100));
  assert.ok(first.totalMs < 150 + SLACK_MS, `first miss took ${first.totalMs} ms`);
  const later: number[] = [];
  for (let key = 101; key < 121; key++) later.push((await find(asker, digestKey(key))).totalMs);
  assert.ok((later.toSorted((a, b) => a - b)[10] ?? 0) < 100);
  t.diagnostic(
    `hit ${hit.firstMs.toFixed(1)} ms; first miss ${first.totalMs.toFixed(1)} ms; then ${summary(later)}`,
  );
  for (const { child } of frozen) child.kill('SIGCONT');
});

test('killed peers leave the table within seconds and cost no lookup its time', async (t) => {
  const nodes = await startFleet(t, 3);
  const [asker, holder] = nodes;
  assert.ok(asker && holder);
  const doomed = await Promise.all([1, 2, 3].map(() => spawnNode(t, [asker.endpoint])));
  await until(() => nodes.every(({ router }) => router.peers() === 5));
  holder.router.advertise([digestKey(1)]);
  await untilFound(asker, digestKey(1));
  for (const { child } of doomed) child.kill('SIGKILL');
  const misses: number[] = [];
  for (let key = 100; key < 120; key++) misses.push((await find(asker, digestKey(key))).totalMs);
  assert.ok(Math.max(...misses) < 150 + SLACK_MS, `misses ${summary(misses)}`);
  const hit = await find(asker, digestKey(1));
  assert.deepEqual(hit.ids, [holder.router.peerId]);
  const started = Date.now();
  await until(() => asker.router.peers() === 2);
  t.diagnostic(`miss ${summary(misses)}; out of the table after ${Date.now() - started} ms`);
});

test('a table that empties bootstraps again', async (t) => {
  const first = await startNode(t);
  const other = await startNode(t, { peers: [first.endpoint] });
  await until(() => other.router.peers() === 1);
  await first.stop();
  await until(() => other.router.peers() === 0);
  const again = await startNode(t, { port: first.port });
  again.router.advertise([digestKey(1)]);
  await until(() => other.router.peers() === 1);
  assert.deepEqual((await untilFound(other, digestKey(1))).ids, [again.router.peerId]);
});

test('a port in use is an error that says so', async (t) => {
  const first = await startNode(t);
  await assert.rejects(startNode(t, { port: first.port }), {
    code: 'ERR_LISTEN',
    message: /expected a free TCP port .*EADDRINUSE.*--router-addr/,
  });
});
