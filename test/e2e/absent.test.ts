/** Spegel away, containerd away, and networks that look alike on every host. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  assertHolds,
  blobPath,
  headStatus,
  untilAdvertised,
  untilFound,
} from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';

const skip = await labMissing();

test('Spegel stopped and killed with containerd pointed at it', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containerd: ['2.1', '1.6'], spegel: true }, t);
  for (const { containerd, spegel } of lab.hosts) {
    for (const how of ['stop', 'kill'] as const) {
      const seed = `${how}-${containerd.version}`;
      const image = await makeImage(join(lab.dir, seed), { seed });
      const ref = await lab.upstream.push(image, `absent/${seed}`);
      if (spegel.running) await spegel[how]();
      await containerd.pull(ref, { timeoutMs: 20_000 });
      assert.deepEqual((await containerd.imageNames()).includes(ref), true);
    }
  }
});

test('containerd restarts under Spegel, and comes after it', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containerd: ['2.1', '1.6'], spegel: true }, t);
  const [a, b] = [lab.host(0), lab.host(1)];
  const first = await makeImage(join(lab.dir, 'first'), { seed: 'first' });
  const firstRef = await lab.upstream.push(first, 'absent/first');
  await a.containerd.pull(firstRef);
  await untilFound(lab, b, 'absent/first', first);

  await a.containerd.stop();
  await waitUntil('not ready', async () => !(await a.spegel.isReady()), { timeoutMs: 30_000 });
  const layer = first.manifests[0]?.layers[0]?.digest ?? '';
  assert.equal(await headStatus(b, blobPath(lab, 'absent/first', layer)), 200);
  await a.containerd.start();
  await waitUntil('ready again', () => a.spegel.isReady(), { timeoutMs: 30_000 });

  const second = await makeImage(join(lab.dir, 'second'), { seed: 'second' });
  const secondRef = await lab.upstream.push(second, 'absent/second');
  await a.containerd.pull(secondRef);
  await untilFound(lab, b, 'absent/second', second);
  await lab.upstream.stop();
  await b.containerd.pull(firstRef);
  await b.containerd.pull(secondRef);
  await assertHolds(b, second);

  await a.containerd.removeImage(secondRef);
  const keys = async () => (await a.spegel.metric('spegel_advertised_keys')) <= 6;
  await waitUntil('what was removed is withdrawn', keys, { timeoutMs: 30_000 });
});

test('a bridge with the same address on every host', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, dockerBridge: true, spegel: true }, t);
  const [a, b] = [lab.host(0), lab.host(1)];
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'bridge' });
  const ref = await lab.upstream.push(image, 'absent/bridge');
  await a.containerd.pull(ref);
  await untilAdvertised(a, image, 1);
  await untilFound(lab, b, 'absent/bridge', image);
  await lab.upstream.stop();
  await b.containerd.pull(ref);
  await assertHolds(b, image);
  for (const host of lab.hosts) {
    const announced = JSON.stringify(await host.spegel.logs());
    assert.doesNotMatch(announced, /172\.17\.0\.1/);
  }
});

test('a host started before its peers and before containerd finds both', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containerd: ['2.1'] }, t);
  const [a, b] = [lab.host(0), lab.host(1)];
  await a.containerd.stop();
  await a.spegel.launch({ containerdSocket: a.containerd.socket, bootstrap: [b.address] });
  await waitUntil('it lives', () =>
    a.spegel.get('/livez', '--fail').then(
      () => true,
      () => false,
    ),
  );
  assert.equal(await a.spegel.isReady(), false);
  await a.containerd.start();
  await waitUntil('it is ready', () => a.spegel.isReady(), { timeoutMs: 30_000 });
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'late' });
  const ref = await lab.upstream.push(image, 'absent/late');
  await a.containerd.pull(ref);
  await b.spegel.start({ containerdSocket: b.containerd.socket });
  await untilFound(lab, b, 'absent/late', image);
});
