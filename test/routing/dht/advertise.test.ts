import { performance } from 'node:perf_hooks';
import { test } from 'node:test';
import { digestKey, spawnNode, startNode, until, untilFound } from '../libp2p/fleet.ts';

test('5,000 keys are announced to other processes, and a fresh one meanwhile', async (t) => {
  const node = await startNode(t);
  const others = await Promise.all([1, 2, 3].map(() => spawnNode(t, [node.endpoint])));
  const reader = await startNode(t, { peers: [node.endpoint] });
  await until(() => node.router.peers() === others.length + 1 && reader.router.peers() >= 1);
  const cpu = process.cpuUsage();
  const started = performance.now();
  node.router.advertise(Array.from({ length: 5_000 }, (_, index) => digestKey(index)));
  await untilFound(reader, digestKey(4_999));
  const wall = performance.now() - started;
  const used = process.cpuUsage(cpu);
  const fresh = performance.now();
  node.router.advertise(['docker.io/library/fresh:1']);
  await untilFound(reader, 'docker.io/library/fresh:1');
  t.diagnostic(
    `5,000 keys to 4 peers (one in this process): ${wall.toFixed(0)} ms, ` +
      `${((used.user + used.system) / 1000).toFixed(0)} ms of CPU in this process; ` +
      `one fresh key found after ${(performance.now() - fresh).toFixed(0)} ms`,
  );
});
