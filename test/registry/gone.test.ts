import assert from 'node:assert/strict';
import { Agent, get } from 'node:http';
import { performance } from 'node:perf_hooks';
import { test } from 'node:test';
import { blob, blobPath, startNode } from '../mirror/support.ts';

/** Ten times what it takes, for a machine that is busy. */
const SLACK_MS = 10;

test('a peer that asks for content that is gone is told so at once', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const times: number[] = [];
  for (let round = 0; round < 200; round++) {
    const { digest } = blob(round);
    const started = performance.now();
    const headers = { 'X-Spegel-Mirrored': 'true' };
    const status = await new Promise<number | undefined>((resolve, reject) => {
      get(`${node.url}${blobPath(digest)}`, { agent, headers }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      }).on('error', reject);
    });
    assert.equal(status, 404);
    times.push(performance.now() - started);
  }
  const median = times.toSorted((a, b) => a - b)[times.length / 2] ?? Number.NaN;
  t.diagnostic(`404 after ${median.toFixed(2)} ms at the median, client included`);
  assert.ok(median < SLACK_MS, `${median} ms`);
});
