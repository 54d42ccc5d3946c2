/** Everything that a pull can bring is shared: indexes, imported images, artifacts, CRI's pulls. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertHolds, untilAdvertised, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { archive } from '../../lab/images/foreign-layouts.ts';
import { makeArtifact, makeImage, makeIndex } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';

const skip = await labMissing();

test('an index of two platforms, of which the holder has one', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containerd: ['2.1', '1.6'], spegel: true }, t);
  const [a, b] = [lab.host(0), lab.host(1)];
  const index = await makeIndex(join(lab.dir, 'index'), { seed: 'two', layers: 2 });
  const ref = await lab.upstream.push(index, 'kinds/index');
  await a.containerd.pull(ref);
  await untilFound(lab, b, 'kinds/index', index);
  await lab.upstream.stop();
  await b.containerd.pull(ref);
  await assertHolds(b, index);
});

test('an imported image, which has no distribution labels', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containerd: ['2.1', '1.6'], spegel: true }, t);
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'imported' });
  await archive(image, join(lab.dir, 'image.tar'));
  await lab.upstream.stop();
  const name = `${lab.upstream.registry}/kinds/imported`;
  for (const [from, to] of [
    [lab.host(0), lab.host(1)],
    [lab.host(1), lab.host(0)],
  ] as const) {
    const base = `${name}-${from.name}`;
    const ref = `${base}:v1`;
    await from.containerd.ctr([
      'images',
      'import',
      '--base-name',
      base,
      join(lab.dir, 'image.tar'),
    ]);
    await untilAdvertised(from, image, 1);
    await untilFound(lab, to, `kinds/imported-${from.name}`, image);
    await to.containerd.pull(ref);
    await assertHolds(to, image);
    for (const { containerd } of [from, to]) await containerd.removeImage(ref);
  }
});

test('an OCI artifact with media types of its own', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containerd: ['2.1', '1.6'], spegel: true }, t);
  const [a, b] = [lab.host(0), lab.host(1)];
  const artifact = await makeArtifact(join(lab.dir, 'artifact'), { seed: 'volume', layers: 2 });
  const ref = await lab.upstream.push(artifact, 'kinds/volume');
  await a.containerd.fetch(ref);
  await untilFound(lab, b, 'kinds/volume', artifact);
  await lab.upstream.stop();
  await b.containerd.fetch(ref);
  await assertHolds(b, artifact);
});

test('CRI PullImage on both sides, in its own namespace', { skip }, async (t) => {
  const containerd = [
    { version: '2.1', cri: true },
    { version: '1.6', cri: true },
    { version: '2.1', cri: true },
  ] as const;
  const lab = await Lab.create({ hosts: 3, containerd, spegel: true }, t);
  const [a, b, c] = [lab.host(0), lab.host(1), lab.host(2)];
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'cri', layers: 3 });
  const ref = await lab.upstream.push(image, 'kinds/cri');
  await a.containerd.cri.pull(ref);
  await untilFound(lab, b, 'kinds/cri', image);
  await untilFound(lab, c, 'kinds/cri', image);
  await lab.upstream.stop();
  for (const host of [b, c]) {
    assert.equal(await host.containerd.cri.pull(ref), image.manifests[0]?.config.digest);
    await assertHolds(host, image, 'k8s.io');
  }
});

test('layers are found on another host before the image is complete', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, spegel: true }, t);
  const [a, b] = [lab.host(0), lab.host(1)];
  const image = await makeImage(join(lab.dir, 'image'), {
    seed: 'landing',
    layers: 8,
    layerMiB: 4,
  });
  const ref = await lab.upstream.push(image, 'kinds/landing');
  await lab.upstream.net.rate('20mbit');
  const pulled = a.containerd.pull(ref);
  const layers = image.manifests[0]?.layers ?? [];
  const landed = async () => {
    const present = await a.containerd.digests();
    return layers.find((layer) => present.includes(layer.digest));
  };
  await waitUntil('a layer has landed', async () => (await landed()) !== undefined);
  const first = await landed();
  assert.ok(first);
  await untilFound(lab, b, 'kinds/landing', { ...image, manifests: [onlyLayer(image, first)] });
  assert.deepEqual(await a.containerd.imageNames(), [], 'the image is not complete yet');
  const present = await a.containerd.digests();
  assert.ok(layers.some((layer) => !present.includes(layer.digest)));
  await pulled;
});

/** The image's manifest as if it had this layer alone: what to wait for. */
function onlyLayer(
  image: Awaited<ReturnType<typeof makeImage>>,
  layer: { digest: string; size: number },
) {
  const [manifest] = image.manifests;
  assert.ok(manifest);
  return { ...manifest, config: layer, layers: [] };
}
