/** A stranger that asks without a pause neither stops the event loop nor fills memory. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestKey, find, startFleet, untilFound } from '../libp2p/fleet.ts';

const MIB = 1024 * 1024;
const SCRIPT = new URL('./flood-process.ts', import.meta.url).pathname;
const FLOOD_MS = 4_000;

for (const mode of ['questions', 'unread', 'records', 'tracker', 'providers']) {
  test(`a flood of ${mode}: the event loop goes on, memory stays, others are answered`, async (t) => {
    const [node, other] = await startFleet(t, 2, { answer: () => new Uint8Array(1_000) });
    assert.ok(node && other);
    other.router.advertise([digestKey(1)]);
    await untilFound(node, digestKey(1));
    const rss = process.memoryUsage().rss;
    const flood = spawn(process.execPath, [SCRIPT, node.endpoint, mode], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => void flood.kill('SIGKILL'));
    let sent = 0;
    flood.stdout.on('data', (line) => {
      sent = Number(String(line).trim().split('\n').at(-1));
    });
    const delay = monitorEventLoopDelay({ resolution: 5 });
    await sleep(1_500);
    delay.enable();
    const end = performance.now() + FLOOD_MS;
    let peak = 0;
    let slowest = 0;
    while (performance.now() < end) {
      const started = performance.now();
      await find(other, digestKey(2));
      assert.deepEqual((await untilFound(node, digestKey(1))).ids, [other.router.peerId]);
      slowest = Math.max(slowest, performance.now() - started);
      peak = Math.max(peak, process.memoryUsage().rss);
      await sleep(100);
    }
    delay.disable();
    const grown = (peak - rss) / MIB;
    const standstill = delay.max / 1e6;
    t.diagnostic(
      `${sent} sent; longest standstill ${standstill.toFixed()} ms, slowest question ${slowest.toFixed()} ms, ${grown.toFixed()} MiB more`,
    );
    assert.ok(sent > 1_000, `${sent} sent`);
    assert.ok(grown < 200, `${grown} MiB`);
    assert.ok(slowest < 3_000, `${slowest} ms`);
  });
}
