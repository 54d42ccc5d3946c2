/**
 * A holder whose disk has changed a byte: it costs one failed pull at the most, and is not asked
 * again.
 */
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertHolds, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { MIB, makeImage } from '../../lab/images/images.ts';

const skip = await labMissing();

async function flipByte(path: string, position: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, position);
    await file.write(Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, position);
  } finally {
    await file.close();
  }
}

for (const version of ['2.1', '1.6'] as const) {
  test(`containerd ${version} pulls again after a peer sent wrong bytes`, { skip }, async (t) => {
    const lab = await Lab.create({ hosts: 2, containerd: ['2.1', version], spegel: true }, t);
    const [a, b] = [lab.host(0), lab.host(1)];
    const image = await makeImage(join(lab.dir, 'image'), { seed: 'rot', layers: 2, layerMiB: 8 });
    const ref = await lab.upstream.push(image, 'rot/app');
    await a.containerd.pull(ref);
    await untilFound(lab, b, 'rot/app', image);
    const layer = image.manifests[0]?.layers[0]?.digest ?? '';
    await flipByte(a.containerd.blobPath(layer), 5 * MIB);

    await assert.rejects(b.containerd.pull(ref), /digest|commit|ingest|no such file/);
    await b.containerd.pull(ref);
    await assertHolds(b, image);
  });
}
