/** The events of a store while containerd pulls from a registry. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { digestsOf } from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { makeArtifact, makeImage, makeIndex } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import type { Digest } from '../../lib/oci/digest.ts';
import { Watched } from '../contract/watched.ts';
import { ALL } from './namespace-images.ts';
import { readyStore, signal } from './stores.ts';

const VERSIONS = ['2.1', '1.7', '1.6'] as const;
const skip = await labMissing();
const options = { skip, timeout: 120_000 };
let lab: Lab;

before(async () => {
  if (skip === false) lab = await Lab.create({ hosts: VERSIONS.length, containerd: VERSIONS });
});
after(() => lab?.dispose());

const dir = () => join(lab.dir, randomUUID());

test(
  'containerd 2.1: layers are added in order while the pull runs, the tag last',
  options,
  async (t) => {
    const { containerd, net } = lab.host(0);
    const image = await makeImage(dir(), {
      seed: randomUUID(),
      layers: 4,
      layerMiB: 6,
      gzip: false,
    });
    const ref = await lab.upstream.push(image, 'team/slow');
    const store = await readyStore(t, containerd.socket);
    const watched = new Watched(store, t);
    await net.rate('100mbit');
    t.after(() => net.rate('10gbit'));
    let pulling = true;
    const pull = containerd.pull(ref).finally(() => {
      pulling = false;
    });
    await watched.untilHas([image.digest, image.manifests[0]?.layers[0]?.digest ?? '']);
    assert.ok(pulling, 'the first layer was told before the pull was over');
    assert.ok(!watched.keys.has(ref));
    assert.equal(await store.resolve(ref, signal), undefined);
    await pull;
    await watched.untilHas([...digestsOf(image), ref]);
    const { added } = watched;
    assert.equal(added[0], image.digest);
    assert.equal(added[1], image.manifests[0]?.config.digest);
    assert.equal(added.at(-1), ref);
    const last = image.manifests[0]?.layers[3];
    const source = await store.source(last?.digest as Digest, signal);
    assert.equal(source?.size, last?.size);
  },
);

VERSIONS.forEach((version, index) => {
  test(
    `containerd ${version}: a pull adds image, index of two platforms and artifact`,
    options,
    async (t) => {
      const { containerd } = lab.host(index);
      const store = await readyStore(t, containerd.socket);
      const watched = new Watched(store, t);
      const shape = { seed: randomUUID(), layers: 2, layerBytes: 50_000 };
      const image = await makeImage(dir(), shape);
      const multi = await makeIndex(dir(), { ...shape, seed: randomUUID() });
      const artifact = await makeArtifact(dir(), { ...shape, seed: randomUUID() });
      for (const [layout, name] of [
        [image, 'app'],
        [multi, 'multi'],
        [artifact, 'volume'],
      ] as const) {
        const ref = await lab.upstream.push(layout, `${name}-${index}`);
        await (layout === artifact ? containerd.fetch(ref) : containerd.pull(ref));
        await watched.untilHas([...digestsOf(layout), ref]);
        assert.equal(await store.resolve(ref, signal), layout.digest);
      }
      const foreign = multi.manifests[1]?.layers[0]?.digest;
      assert.ok(foreign && !watched.keys.has(foreign), 'only the pulled platform is here');
    },
  );

  test(
    `containerd ${version}: a tag moves, and its old content is collected`,
    options,
    async (t) => {
      const { containerd } = lab.host(index);
      const store = await readyStore(t, containerd.socket);
      const watched = new Watched(store, t);
      const shape = { layers: 1, layerBytes: 50_000 };
      const older = await makeImage(dir(), { ...shape, seed: randomUUID() });
      const newer = await makeImage(dir(), { ...shape, seed: randomUUID() });
      const repository = `moving-${index}`;
      const ref = await lab.upstream.push(older, repository);
      await containerd.pull(ref);
      await watched.untilHas([...digestsOf(older), ref]);
      await lab.upstream.push(newer, repository);
      await containerd.pull(ref);
      await watched.untilHas(digestsOf(newer));
      const moved = async () => (await store.resolve(ref, signal)) === newer.digest;
      await waitUntil('the tag has moved', moved);
      await containerd.removeImage(ref);
      await watched.untilGone([...digestsOf(older), ...digestsOf(newer), ref], 30_000);
    },
  );

  test(
    `containerd ${version}: labels without port pass the filters of their registry`,
    options,
    async (t) => {
      const { containerd } = lab.host(index);
      const image = await makeImage(dir(), { seed: randomUUID(), layers: 1, layerBytes: 50_000 });
      const ref = await lab.upstream.push(image, `team/labels-${index}`);
      await containerd.fetch(ref);
      // Leaves only the labels, as while an image is being pulled.
      const kept = 'kept-from-collection';
      await containerd.ctr(['images', 'tag', ref, kept]);
      t.after(() => containerd.removeImage(kept));
      await containerd.removeImage(ref);
      const seen = async (filters: typeof ALL) => {
        const store = await readyStore(t, containerd.socket, { filters });
        const watched = new Watched(store, t);
        await watched.until('there is a snapshot', () => watched.events.length > 0);
        assert.ok(!watched.keys.has(ref));
        return watched.has(digestsOf(image));
      };
      const { registry } = lab.upstream;
      assert.equal(await seen(ALL), true);
      assert.equal(await seen({ ...ALL, mirroredRegistries: [registry] }), true);
      assert.equal(await seen({ ...ALL, mirroredRegistries: ['docker.io'] }), false);
      assert.equal(
        await seen({ ...ALL, registryFilters: [new RegExp(`^${registry}/team/`)] }),
        false,
      );
    },
  );
});
