/** Pulls that take seconds, and readers that check every byte of them. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Lab, LabHost } from '../../../lab/fleet/lab.ts';
import { type Layout, MIB, makeImage } from '../../../lab/images/images.ts';
import { waitUntil } from '../../../lab/processes/exec.ts';
import type { ContainerdStore } from '../../../lib/containerd/store.ts';
import type { Digest } from '../../../lib/oci/digest.ts';
import type { InflightSource } from '../../../lib/store/store.ts';
import { readyStore, signal } from '../stores.ts';

/** Rate of the upstream's link. */
export const RATE = '100mbit';
export const LAYER_MIB = 16;

export interface SlowPull {
  readonly store: ContainerdStore;
  readonly image: Layout;
  readonly ref: string;
  readonly digest: Digest;
  /** The right bytes of the layer. */
  readonly bytes: Buffer;
  /** Resolves at the end of the pull, with its error if it failed. */
  readonly pulled: Promise<Error | undefined>;
  /** Kills the client that asked for the pull. */
  readonly kill: () => void;
  readonly source: InflightSource;
  /** Waits until some MiB are there. */
  readonly begun: () => Promise<void>;
}

/**
 * Begins to pull an image with one layer, which takes more than a second. `spoil` may change the
 * bytes of the layer in the registry.
 */
export async function slowPull(
  t: TestContext,
  lab: Lab,
  host: LabHost,
  spoil?: (digest: Digest) => Promise<void>,
): Promise<SlowPull> {
  const image = await makeImage(join(lab.dir, randomUUID()), {
    seed: randomUUID(),
    layers: 1,
    layerMiB: LAYER_MIB,
  });
  const ref = await lab.upstream.push(image, `slow/${randomUUID()}`);
  const digest = image.manifests[0]?.layers[0]?.digest as Digest;
  const bytes = await readFile(join(image.dir, 'blobs', ...digest.split(':')));
  await spoil?.(digest);
  await lab.upstream.net.rate(RATE);
  const store = await readyStore(t, host.containerd.socket);
  const killing = new AbortController();
  t.after(() => killing.abort());
  const waits = store.awaitInflightSource(digest, 10_000, signal);
  const pulled = host.containerd.pull(ref, { signal: killing.signal }).then(
    () => undefined,
    (error: Error) => error,
  );
  const source = await waits;
  assert.ok(source, 'the download was found');
  assert.equal(source.size, bytes.length);
  const begun = () =>
    waitUntil('there is something', async () => (await source.available(signal)) > 2 * MIB);
  return { store, image, ref, digest, bytes, pulled, kill: () => killing.abort(), source, begun };
}

/** Reads to the end and compares each byte as it comes. */
export async function readChecked(source: InflightSource, bytes: Buffer): Promise<void> {
  const reader = await source.open(signal);
  try {
    const buffer = Buffer.alloc(1 << 20);
    let position = 0;
    for (;;) {
      const count = await reader.read(buffer, position, signal);
      if (count === 0) break;
      const right = bytes.subarray(position, position + count);
      assert.ok(right.equals(buffer.subarray(0, count)), `wrong bytes at ${position}`);
      position += count;
    }
    assert.equal(position, bytes.length);
  } finally {
    await reader.close();
  }
}

/**
 * Reads the available bytes again and again until all are there. A hole would be filled later.
 * Returns the sizes that were seen.
 */
export async function checkPrefixes(source: InflightSource, bytes: Buffer): Promise<number[]> {
  const sizes: number[] = [];
  const reader = await source.open(signal);
  const buffer = Buffer.alloc(bytes.length);
  try {
    for (let first = 0; ; ) {
      const available = await source.available(signal);
      for (let position = first; position < available; ) {
        const count = await reader.read(buffer.subarray(0, available - position), position, signal);
        const right = bytes.subarray(position, position + count);
        assert.ok(right.equals(buffer.subarray(0, count)), `a hole after ${position}`);
        position += count;
      }
      if (available !== sizes.at(-1)) sizes.push(available);
      if (available === bytes.length) return sizes;
      // Compares the new bytes, and the last MiB again, where a chunk could come too early.
      first = Math.max(0, available - (1 << 20));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  } finally {
    await reader.close();
  }
}
