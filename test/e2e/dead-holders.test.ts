/** Three of four holders are gone and the upstream is off: the pull still comes from the fourth. */
import { join } from 'node:path';
import { test } from 'node:test';
import { assertHolds, untilAdvertised, untilFound, untilJoined } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { archive } from '../../lab/images/foreign-layouts.ts';
import { makeImage } from '../../lab/images/images.ts';

const skip = await labMissing();

const FAULTS: Record<string, (host: LabHost) => Promise<void>> = {
  killed: (host) => host.spegel.kill(),
  frozen: async (host) => host.spegel.service.freeze(),
  unplugged: (host) => host.net.unplug(),
};

for (const [fault, fail] of Object.entries(FAULTS)) {
  test(`three of four holders ${fault}, upstream off`, { skip }, async (t) => {
    const lab = await Lab.create({ hosts: 5, containerd: ['2.1'], spegel: true }, t);
    const holders = lab.hosts.slice(0, 4);
    const b = lab.host(4);
    await untilJoined(lab.hosts, 4);
    const image = await makeImage(join(lab.dir, 'image'), { seed: fault, layers: 4, layerMiB: 2 });
    await archive(image, join(lab.dir, 'image.tar'));
    const base = `${lab.upstream.registry}/dead/holders`;
    for (const { containerd } of holders) {
      await containerd.ctr(['images', 'import', '--base-name', base, join(lab.dir, 'image.tar')]);
    }
    for (const holder of holders) await untilAdvertised(holder, image, 1);
    await untilFound(lab, b, 'dead/holders', image);
    await lab.upstream.stop();

    await Promise.all(holders.slice(0, 3).map(fail));
    await b.containerd.pull(`${base}:v1`, { timeoutMs: 60_000 });
    await assertHolds(b, image);
  });
}
