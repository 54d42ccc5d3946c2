/** One containerd pulls many images at once, with all their layers at once. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertHolds } from '../../lab/fleet/fleet.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { MIB, makeImage } from '../../lab/images/images.ts';
import { quickPush } from '../../lab/registries/quick-push.ts';
import { MemoryCgroup } from '../attacks/memory-cgroup.ts';
import { SocketMemory } from '../attacks/socket-memory.ts';

const skip = await labMissing('2.1');
const IMAGES = 20;
/** Larger than what is read whole and checked. */
const SHAPE = { layers: 10, layerBytes: 1.25 * MIB, gzip: false };
const MAX_PEAK_MIB = 300;
/** Two cores unpack 200 layers. */
const PULL_MS = 300_000;

test('20 images of 10 layers at once are pulled, and the service keeps to its memory', {
  skip,
}, async (t) => {
  const settings = { version: '2.1', cri: true, maxConcurrentDownloads: SHAPE.layers } as const;
  const lab = await Lab.create({ hosts: 2, containerd: [settings, '2.1'] }, t);
  const [puller, holder] = [lab.host(0), lab.host(1)];
  const images = [];
  for (let index = 0; index < IMAGES; index += 1) {
    const shape = { ...SHAPE, seed: `many-${index}` };
    const image = await makeImage(join(lab.dir, String(index)), shape);
    await quickPush(lab.upstream, image, `many/${index}`);
    images.push({ image, ref: `${lab.upstream.registry}/many/${index}:${image.tag}` });
  }
  await lab.startSpegel({}, [holder]);
  for (const { ref } of images) await holder.containerd.fetch(ref);

  const name = `spegel-many-${lab.network.slot.number}`;
  const cgroup = await MemoryCgroup.make(name);
  t.after(() => cgroup?.remove());
  const sockets = await SocketMemory.of(name);
  const { socket: containerdSocket, hostsDir } = puller.containerd;
  await puller.spegel.launch({ containerdSocket, hostsDir, bootstrap: [holder.address] });
  await cgroup?.take(puller.spegel.service.pid);
  await puller.spegel.service.ready(() => puller.spegel.isReady());

  const started = performance.now();
  await Promise.all(images.map(({ ref }) => puller.containerd.cri.pull(ref, PULL_MS)));
  const seconds = (performance.now() - started) / 1_000;
  const relayed = (await puller.spegel.metric('spegel_relayed_bytes_total')) / MIB;
  const peak = cgroup && ((await cgroup.peak()) + (await sockets.peak())) / MIB;
  t.diagnostic(`${seconds.toFixed(1)} s, ${relayed} MiB from the peer, peak ${peak} MiB`);
  for (const { image } of images) await assertHolds(puller, image, 'k8s.io');
  if (peak !== undefined) assert.ok(peak < MAX_PEAK_MIB, `${peak} MiB`);
  await puller.spegel.stop();
});
