/**
 * containerd 2.1's parallel range fetching: plain by default (it keeps every fallback), in chunks
 * if told to.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertHolds, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { MIB, makeImage } from '../../lab/images/images.ts';

const skip = await labMissing();
const containerd = [{ version: '2.1', layerFetchBuffer: MIB, maxConcurrentDownloads: 4 }] as const;

for (const parallel of [false, true]) {
  test(`--parallel-fetch=${parallel}: ranges are ${parallel ? '' : 'not '}answered as such`, {
    skip,
  }, async (t) => {
    const spegel = { flags: { 'parallel-fetch': parallel } };
    const lab = await Lab.create({ hosts: 2, containerd, spegel }, t);
    const [a, b] = [lab.host(0), lab.host(1)];
    const image = await makeImage(join(lab.dir, 'image'), {
      seed: 'chunks',
      layers: 2,
      layerMiB: 16,
    });
    const ref = await lab.upstream.push(image, 'parallel/image');
    await a.containerd.pull(ref);
    await untilFound(lab, b, 'parallel/image', image);
    await lab.upstream.stop();
    await b.containerd.pull(ref);
    await assertHolds(b, image);
    const partial = await b.spegel.metric('http_response_size_bytes_count', 'code="206"');
    if (parallel) assert.ok(partial > 2, `${partial} answers of 206`);
    else assert.equal(partial, 0);
  });
}

test('the holder dies under a parallel fetch: the upstream serves the rest', {
  skip,
}, async (t) => {
  const lab = await Lab.create({ hosts: 2, containerd, spegel: true }, t);
  const [a, b] = [lab.host(0), lab.host(1)];
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'dies', layers: 1, layerMiB: 64 });
  const ref = await lab.upstream.push(image, 'parallel/dies');
  await a.containerd.pull(ref);
  await untilFound(lab, b, 'parallel/dies', image);
  await a.net.rate('200mbit');
  const sent = await a.net.bytesSent();
  const pulled = b.containerd.pull(ref, { timeoutMs: 60_000 });
  while ((await a.net.bytesSent()) < sent + 16 * MIB) await new Promise((r) => setTimeout(r, 20));
  await a.spegel.kill();
  await pulled;
  await assertHolds(b, image);
});
