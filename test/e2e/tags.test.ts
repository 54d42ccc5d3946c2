/**
 * A tag means what the upstream says as long as it answers, and what the fleet holds when it does
 * not.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeHostsToml } from '../../lab/containerd/hosts-toml.ts';
import { untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';

const skip = await labMissing();
/** Longer than the mirror remembers whether an upstream answered. */
const PROBE_FORGOTTEN_MS = 11_000;

async function digestOfImage(host: LabHost, ref: string): Promise<string> {
  const { stdout } = await host.containerd.ctr(['images', 'list', `name==${ref}`]);
  return /sha256:[0-9a-f]{64}/.exec(stdout)?.[0] ?? '';
}

test('a tag that moved: the fleet answers while the upstream is away, the upstream when it is back', {
  skip,
}, async (t) => {
  const lab = await Lab.create({ hosts: 3, containerd: ['2.1', '1.6', '2.1'], spegel: true }, t);
  const [a, b, c] = [lab.host(0), lab.host(1), lab.host(2)];
  const old = await makeImage(join(lab.dir, 'old'), { seed: 'old' });
  const moved = await makeImage(join(lab.dir, 'moved'), { seed: 'moved' });
  const ref = await lab.upstream.push(old, 'tags/app');
  await a.containerd.pull(ref);
  await untilFound(lab, b, 'tags/app', old);
  assert.equal(await lab.upstream.push(moved, 'tags/app'), ref);

  await lab.upstream.stop();
  await b.containerd.pull(ref);
  assert.equal(await digestOfImage(b, ref), old.digest);

  await lab.upstream.start();
  await sleep(PROBE_FORGOTTEN_MS);
  await c.containerd.pull(ref);
  assert.equal(await digestOfImage(c, ref), moved.digest);
  await b.containerd.pull(ref);
  assert.equal(await digestOfImage(b, ref), moved.digest);
});

test('an upstream that answered before and is silent now counts as away', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, spegel: true }, t);
  const [a, b] = [lab.host(0), lab.host(1)];
  const other = await makeImage(join(lab.dir, 'other'), { seed: 'other' });
  await b.containerd.pull(await lab.upstream.push(other, 'tags/other'));
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'silent' });
  const ref = await lab.upstream.push(image, 'tags/silent');
  await a.containerd.pull(ref);
  await untilFound(lab, b, 'tags/silent', image);
  await sleep(PROBE_FORGOTTEN_MS);
  lab.upstream.freeze();
  await b.containerd.pull(ref, { timeoutMs: 30_000 });
  assert.equal(await digestOfImage(b, ref), image.digest);
});

test('a registry that only containerd can reach, by its hosts.toml, says what its tags mean', {
  skip,
}, async (t) => {
  const lab = await Lab.create({ hosts: 2, containerd: ['2.1', '1.6'], spegel: true }, t);
  const [a, b] = [lab.host(0), lab.host(1)];
  const registry = 'registry.alias.test';
  for (const { containerd } of [a, b]) {
    await writeHostsToml(containerd.hostsDir, { registry, server: lab.upstream.url });
  }
  const old = await makeImage(join(lab.dir, 'old'), { seed: 'alias-old' });
  const moved = await makeImage(join(lab.dir, 'moved'), { seed: 'alias-moved' });
  await lab.upstream.push(old, 'tags/alias');
  const ref = `${registry}/tags/alias:v1`;
  await a.containerd.pull(ref);
  assert.equal(await digestOfImage(a, ref), old.digest);
  await lab.upstream.push(moved, 'tags/alias');
  await b.containerd.pull(ref);
  assert.equal(await digestOfImage(b, ref), moved.digest);
});
