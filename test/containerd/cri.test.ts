/** Pulls as the kubelet makes them: three image records for one image, in the namespace k8s.io. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { digestsOf } from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { Watched } from '../contract/watched.ts';
import { readyStore, signal } from './stores.ts';

const VERSIONS = ['2.1', '1.6'] as const;
const skip = await labMissing();
let lab: Lab;

before(async () => {
  const containerd = VERSIONS.map((version) => ({ version, cri: true }));
  if (skip === false) lab = await Lab.create({ hosts: VERSIONS.length, containerd });
});
after(() => lab?.dispose());

VERSIONS.forEach((version, index) => {
  test(`containerd ${version}: an image that CRI pulls and removes`, {
    skip,
    timeout: 60_000,
  }, async (t) => {
    const { containerd } = lab.host(index);
    const image = await makeImage(join(lab.dir, randomUUID()), { seed: randomUUID(), layers: 2 });
    const ref = await lab.upstream.push(image, `team/cri-${index}`);
    const store = await readyStore(t, containerd.socket, { namespaces: ['k8s.io'] });
    const watched = new Watched(store, t);
    await containerd.cri.pull(ref);
    await watched.untilHas([...digestsOf(image), ref]);
    assert.equal(await store.resolve(ref, signal), image.digest);
    assert.equal(watched.keys.size, digestsOf(image).length + 1, 'CRI’s other names are no keys');
    await containerd.cri.remove(ref);
    await watched.untilGone([...digestsOf(image), ref]);
  });
});
