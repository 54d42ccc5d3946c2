/**
 * The story: A pulls, the upstream is switched off, B pulls the same and gets every byte from A.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertHolds, bytesOf, servedBytes, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';

const skip = await labMissing();

const PAIRS = [
  ['2.1', '2.1'],
  ['1.6', '1.6'],
  ['2.1', '1.6'],
  ['1.6', '2.1'],
] as const;

for (const [holder, puller] of PAIRS) {
  test(`containerd ${puller} gets every byte from a host with ${holder}, upstream off`, {
    skip,
  }, async (t) => {
    const lab = await Lab.create({ hosts: 2, containerd: [holder, puller], spegel: true }, t);
    const [a, b] = [lab.host(0), lab.host(1)];
    const byTag = await makeImage(join(lab.dir, 'tag'), { seed: 'tag', layers: 4, layerMiB: 4 });
    const byDigest = await makeImage(join(lab.dir, 'digest'), { seed: 'digest', layers: 2 });
    const tagRef = await lab.upstream.push(byTag, 'story/tag');
    await lab.upstream.push(byDigest, 'story/digest');
    const digestRef = `${lab.upstream.registry}/story/digest@${byDigest.digest}`;
    await a.containerd.pull(tagRef);
    await a.containerd.pull(digestRef);
    await untilFound(lab, b, 'story/tag', byTag);
    await untilFound(lab, b, 'story/digest', byDigest);

    await lab.upstream.stop();
    const before = await servedBytes(a);
    await b.containerd.pull(tagRef);
    await b.containerd.pull(digestRef);

    await assertHolds(b, byTag);
    await assertHolds(b, byDigest);
    const served = (await servedBytes(a)) - before;
    assert.ok(served >= bytesOf(byTag) + bytesOf(byDigest), `A served ${served} bytes`);
  });
}
