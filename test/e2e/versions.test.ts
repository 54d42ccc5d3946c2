/** The story again, in short, on each containerd that other end-to-end tests do not run on. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertHolds, bytesOf, sentBytes, untilFound } from '../../lab/fleet/fleet.ts';
import { SHARED_CORES_FLAGS } from '../../lab/fleet/inflight-pulls.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { type Layout, makeImage, makeIndex } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { quickPush } from '../../lab/registries/quick-push.ts';
import { warningsOf } from '../../lib/hosts/toml/warnings.ts';

/** Three come at once, so the first lands seconds before the last. */
const LAYERS = 8;
const SLOW = '10mbit';

for (const version of ['2.4', '2.3', '2.2'] as const) {
  test(`containerd ${version}: what a pull brings is shared, by ctr and by CRI`, {
    skip: await labMissing(version),
    timeout: 120_000,
  }, async (t) => {
    const containerd = [{ version, cri: true }];
    const lab = await Lab.create(
      { hosts: 2, containerd, spegel: { flags: SHARED_CORES_FLAGS } },
      t,
    );
    const [a, b] = [lab.host(0), lab.host(1)];
    const { registry } = lab.upstream;
    const index = await makeIndex(join(lab.dir, 'index'), { seed: 'index', layers: 2 });
    const byCri = await makeImage(join(lab.dir, 'cri'), { seed: 'cri' });
    const moved = await makeImage(join(lab.dir, 'moved'), { seed: 'moved', layers: 1 });
    const tag = await lab.upstream.push(index, 'versions/index');
    const criTag = await lab.upstream.push(byCri, 'versions/cri');
    const slow = await landing(lab, a, b);
    await a.containerd.pull(tag);
    await a.containerd.cri.pull(criTag);
    await untilFound(lab, b, 'versions/index', index);
    await untilFound(lab, b, 'versions/cri', byCri);

    assert.equal(await lab.upstream.push(moved, 'versions/cri'), criTag);
    await a.containerd.pull(criTag);
    assert.equal(await digestOf(a, criTag), moved.digest, 'the upstream says what its tags mean');

    await lab.upstream.stop();
    const before = await sentBytes(a);
    await b.containerd.pull(tag);
    await b.containerd.pull(`${registry}/versions/slow@${slow.digest}`);
    await b.containerd.cri.pull(`${registry}/versions/cri@${byCri.digest}`);
    for (const image of [index, slow]) await assertHolds(b, image);
    await assertHolds(b, byCri, 'k8s.io');
    const sent = (await sentBytes(a)) - before;
    const expected = [index, slow, byCri].reduce((sum, image) => sum + bytesOf(image), 0);
    assert.ok(sent >= expected, `A sent ${sent} bytes of ${expected}`);
  });
}

/** Content events: a layer is found on another host while the rest of its image still comes. */
async function landing(lab: Lab, a: LabHost, b: LabHost): Promise<Layout> {
  const image = await makeImage(join(lab.dir, 'slow'), { seed: 'slow', layers: LAYERS });
  const ref = await lab.upstream.push(image, 'versions/slow');
  const [manifest] = image.manifests;
  assert.ok(manifest);
  await lab.upstream.net.rate(SLOW);
  let isOver = false;
  const pull = a.containerd.pull(ref).finally(() => {
    isOver = true;
  });
  const found = async () => {
    const present = await a.containerd.digests();
    const first = manifest.layers.find(({ digest }) => present.includes(digest));
    if (first === undefined) return false;
    const part = { ...manifest, config: first, layers: [] };
    await untilFound(lab, b, 'versions/slow', { ...image, manifests: [part] });
    return true;
  };
  await waitUntil('a layer of a pull that goes on is found', found);
  assert.ok(!isOver, 'the pull was over before its first layer was found');
  await pull;
  await lab.upstream.net.rate('10gbit');
  await untilFound(lab, b, 'versions/slow', image);
  return image;
}

async function digestOf({ containerd }: LabHost, ref: string): Promise<string> {
  const { stdout } = await containerd.ctr(['images', 'list', `name==${ref}`]);
  return /sha256:[0-9a-f]{64}/.exec(stdout)?.[0] ?? '';
}

test('the capability referrers: containerd 2.1 rejects the file and 2.2 reads it, as is warned', {
  skip: await labMissing('2.2'),
}, async (t) => {
  const lab = await Lab.create({ hosts: 2, containerd: ['2.1', '2.2'] }, t);
  const [older, newer] = [lab.host(0), lab.host(1)];
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'referrers', layers: 1 });
  await quickPush(lab.upstream, image, 'versions/referrers');
  const { registry, url } = lab.upstream;
  const text = `[host."${url}"]\ncapabilities = ["pull", "resolve", "referrers"]\n`;
  for (const { containerd } of lab.hosts) {
    await writeFile(join(containerd.hostsDir, registry, 'hosts.toml'), text);
  }
  const ref = `${registry}/versions/referrers:v1`;
  await newer.containerd.pull(ref);
  await assertHolds(newer, image);
  await assert.rejects(older.containerd.pull(ref), /HTTP response to HTTPS client/);
  const warning = 'containerd before 2.2 rejects the file for the capability referrers';
  assert.deepEqual(warningsOf(text), [warning]);
});
