/**
 * Several ranges in one request, read by Go's mime/multipart, from a containerd's store and through
 * a peer.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { blobPath, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { MIB, makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { askRanges, buildClient, type ClientLine, goMissing } from '../support/byteranges.ts';

const skip = (await labMissing()) || (await goMissing());
const LAYER_MIB = 32;

/** Two hosts, the first of which holds a layer; the upstream is off. */
async function startFleet(t: TestContext) {
  const lab = await Lab.create({ hosts: 2, containerd: ['2.1', '1.7'], spegel: true }, t);
  const [a, b] = [lab.host(0), lab.host(1)];
  const shape = { seed: 'several-ranges', layers: 1, layerMiB: LAYER_MIB };
  const image = await makeImage(join(lab.dir, 'image'), shape);
  await a.containerd.pull(await lab.upstream.push(image, 'lazy/image'));
  await untilFound(lab, b, 'lazy/image', image);
  await lab.upstream.stop();
  const digest = image.manifests[0]?.layers[0]?.digest ?? '';
  const layer = await readFile(join(image.dir, 'blobs/sha256', digest.replace('sha256:', '')));
  const client = await buildClient(lab.dir);
  const path = blobPath(lab, 'lazy/image', digest);
  const ask = (host: LabHost, range: string) => askRanges(host, client, path, range);
  return { a, b, layer, ask };
}

/** What the client prints for `parts`: first byte, and the byte after the last. */
function linesOf(layer: Buffer, parts: readonly (readonly [number, number])[]): ClientLine[] {
  return parts.map(([start, end]) => ({
    range: `bytes ${start}-${end - 1}/${layer.byteLength}`,
    sha256: createHash('sha256').update(layer.subarray(start, end)).digest('hex'),
  }));
}

test('a lazy client gets its ranges, from the store and through a peer', { skip }, async (t) => {
  const { a, b, layer, ask } = await startFleet(t);
  const size = layer.byteLength;
  for (const host of [a, b]) {
    const [head, ...parts] = await ask(host, 'bytes=0-49999,20000000-29999999,-1000');
    assert.equal(head?.status, 206);
    assert.match(head?.type ?? '', /^multipart\/byteranges; boundary=/);
    const expected = [
      [0, 50_000],
      [20_000_000, 30_000_000],
      [size - 1_000, size],
    ] as const;
    assert.deepEqual(parts, linesOf(layer, expected), host.name);

    const many = Array.from({ length: 65 }, (_, index) => index * 100_000);
    const ranges = many.map((start) => `${start}-${start + 49_999}`);
    const most = many.slice(0, 64).map((start) => [start, start + 50_000] as const);
    const [, ...lines] = await ask(host, `bytes=${ranges.slice(0, 64).join(',')}`);
    assert.deepEqual(lines, linesOf(layer, most), host.name);
    const [whole] = await ask(host, `bytes=${ranges.join(',')}`);
    assert.deepEqual([whole?.status, whole?.length], [200, size], host.name);
    assert.equal((await ask(host, `bytes=${size}-,${size + 5}-`))[0]?.status, 416, host.name);
  }
});

test('the peer dies in the second part: the client sees the end, no reset', { skip }, async (t) => {
  const { a, b, layer, ask } = await startFleet(t);
  await a.net.rate('100mbit');
  const sent = await a.net.bytesSent();
  const answer = ask(b, 'bytes=0-9999999,20000000-');
  const isInSecond = async () => (await a.net.bytesSent()) >= sent + 15 * MIB;
  await waitUntil('the second part is on its way', isInSecond);
  await a.spegel.kill();
  const lines = await answer;
  assert.deepEqual(lines.slice(1, 2), linesOf(layer, [[0, 10_000_000]]));
  assert.deepEqual(lines.slice(2), [{ error: 'unexpected EOF' }]);
});
