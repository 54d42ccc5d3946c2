/**
 * The holder fails half-way through a blob: B completes from another holder, else from the
 * upstream.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertHolds, untilAdvertised, untilFound, untilSending } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { type Layout, MIB, makeImage } from '../../lab/images/images.ts';

const skip = await labMissing();
/** 64 MiB at this rate take about three seconds: time enough to fail in the middle. */
const LAYER_MIB = 64;
const LINK = '200mbit';
const REGISTRY_PORT = 5000;
const PULL_TIMEOUT_MS = 60_000;

const FAULTS: Record<string, (host: LabHost) => Promise<void>> = {
  killed: (host) => host.spegel.kill(),
  frozen: async (host) => host.spegel.service.freeze(),
  reset: (host) => host.net.reset(REGISTRY_PORT),
  unplugged: (host) => host.net.unplug(),
};

async function imageOf(lab: Lab): Promise<{ image: Layout; ref: string }> {
  const shape = { seed: 'mid-blob', layers: 1, layerMiB: LAYER_MIB };
  const image = await makeImage(join(lab.dir, 'image'), shape);
  return { image, ref: await lab.upstream.push(image, 'mid/blob') };
}

for (const [fault, fail] of Object.entries(FAULTS)) {
  test(`the holder is ${fault}: another holder goes on`, { skip }, async (t) => {
    const lab = await Lab.create({ hosts: 3, containerd: ['2.1', '2.1', '1.6'], spegel: true }, t);
    const [a, c, b] = [lab.host(0), lab.host(1), lab.host(2)];
    const { image, ref } = await imageOf(lab);
    for (const holder of [a, c]) {
      await holder.containerd.pull(ref);
      await untilAdvertised(holder, image, 1);
      await holder.net.rate(LINK);
    }
    await untilFound(lab, b, 'mid/blob', image);
    await lab.upstream.stop();

    const holders = [a, c];
    const before = await Promise.all(holders.map((host) => host.net.bytesSent()));
    const pulled = b.containerd.pull(ref, { timeoutMs: PULL_TIMEOUT_MS });
    const sender = await untilSending(holders, before, 16 * MIB);
    await fail(sender);
    await pulled;

    await assertHolds(b, image);
    assert.ok((await b.spegel.metric('spegel_relay_handovers_total')) >= 1);
  });

  test(`the only holder is ${fault}: the upstream goes on`, { skip }, async (t) => {
    const containerd = fault === 'frozen' || fault === 'reset' ? ['2.1', '1.6'] : ['2.1', '2.1'];
    const lab = await Lab.create(
      { hosts: 2, containerd: containerd as ('2.1' | '1.6')[], spegel: true },
      t,
    );
    const [a, b] = [lab.host(0), lab.host(1)];
    const { image, ref } = await imageOf(lab);
    await a.containerd.pull(ref);
    await untilFound(lab, b, 'mid/blob', image);
    await a.net.rate(LINK);

    const before = [await a.net.bytesSent()];
    const pulled = b.containerd.pull(ref, { timeoutMs: PULL_TIMEOUT_MS });
    await untilSending([a], before, 16 * MIB);
    await lab.upstream.forget();
    await fail(a);
    await pulled;

    await assertHolds(b, image);
    if (fault === 'reset') return; // A lives on: it may well be asked again
    const layer = image.manifests[0]?.layers[0];
    const rest = (await lab.upstream.blobRequests()).filter((one) =>
      one.uri.includes(layer?.digest ?? ''),
    );
    assert.ok(rest.length > 0, 'the upstream was asked for the rest');
    const most = (layer?.size ?? 0) - 8 * MIB;
    assert.ok(
      rest.every((one) => one.status === 206 && one.bytes < most),
      `only for the rest: ${JSON.stringify(rest)}`,
    );
  });
}
