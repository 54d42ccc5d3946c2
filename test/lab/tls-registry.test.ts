/** The lab's TLS registry, without spegel: it demands certificates, and containerd finds them. */
import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { TlsRegistry } from '../../lab/registries/tls-registry.ts';

const skip = await labMissing();

test('a directory with certificates and no hosts.toml is what a pull over TLS needs', {
  skip,
}, async (t) => {
  const lab = await Lab.create({ hosts: 2, containerd: ['2.1', '1.6'] }, t);
  const tls = await TlsRegistry.start(lab);
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'tls', layers: 2 });
  const ref = await tls.push(image, 'lab/tls');
  await tls.forget();

  for (const { containerd, address } of lab.hosts) {
    await assert.rejects(containerd.pull(ref), /certificate signed by unknown authority/);
    const dir = await tls.trustIn(containerd.hostsDir);
    assert.deepEqual((await readdir(dir)).sort(), ['ca.crt', 'client.cert', 'client.key']);

    await rm(join(dir, 'client.cert'));
    await rm(join(dir, 'client.key'));
    await assert.rejects(containerd.pull(ref), /certificate required|bad certificate/);
    assert.deepEqual(await tls.requests(), [], 'nothing is answered without a certificate');

    await tls.trustIn(containerd.hostsDir);
    await containerd.pull(ref);
    assert.deepEqual(await containerd.imageNames(), [ref]);
    const asked = await tls.blobRequests();
    assert.equal(asked.length, 3, `config and layers, containerd ${containerd.version}`);
    assert.ok(asked.every((one) => one.status === 200 && one.remote.startsWith(`${address}:`)));
    await tls.forget();
  }
});
