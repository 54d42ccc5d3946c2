/** What a tag means where hosts.toml names the upstream, or this daemon, in a way of its own. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { LOCAL_MIRROR, writeHostsToml } from '../../lab/containerd/hosts-toml.ts';
import { untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { TlsRegistry } from '../../lab/registries/tls-registry.ts';

const skip = await labMissing();

async function digestOfImage({ containerd }: LabHost, ref: string): Promise<string> {
  const { stdout } = await containerd.ctr(['images', 'list', `name==${ref}`]);
  return /sha256:[0-9a-f]{64}/.exec(stdout)?.[0] ?? '';
}

/** As k3s writes it. */
const EMPTY_SERVER = `server = ""
ca = ["ca.crt"]
client = [["client.cert", "client.key"]]

[host]
  [host."${LOCAL_MIRROR}"]
    capabilities = ["Pull", "Resolve", "push"]
`;

test('an empty server is the registry itself, which says what its tags mean', {
  skip,
}, async (t) => {
  const lab = await Lab.create({ hosts: 2, containerd: ['2.1', '1.6'], spegel: true }, t);
  const [a, b] = [lab.host(0), lab.host(1)];
  const tls = await TlsRegistry.start(lab);
  for (const { containerd } of [a, b]) {
    const directory = await tls.trustIn(containerd.hostsDir);
    await writeFile(join(directory, 'hosts.toml'), EMPTY_SERVER);
  }
  const old = await makeImage(join(lab.dir, 'old'), { seed: 'k3s-old' });
  const moved = await makeImage(join(lab.dir, 'moved'), { seed: 'k3s-moved' });
  const ref = await tls.push(old, 'tags/k3s');
  await a.containerd.pull(ref);
  await untilFound(lab, b, 'tags/k3s', old, tls.registry);
  await tls.push(moved, 'tags/k3s');
  await b.containerd.pull(ref);
  assert.equal(await digestOfImage(b, ref), moved.digest);
});

test('this daemon, by an address of its host, is no upstream that answers', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, spegel: true }, t);
  const [a, b] = [lab.host(0), lab.host(1)];
  const { registry } = lab.upstream;
  for (const { address, containerd } of [a, b]) {
    const mirrors = [LOCAL_MIRROR, `http://${address}:5000`];
    await writeHostsToml(containerd.hostsDir, { registry, mirrors });
  }
  const image = await makeImage(join(lab.dir, 'image'), { seed: 'own-address' });
  const ref = await lab.upstream.push(image, 'tags/own');
  await a.containerd.pull(ref);
  await untilFound(lab, b, 'tags/own', image);
  await lab.upstream.stop();
  // The failure of the first may be what shows that the upstream is away.
  await b.containerd.pull(ref).catch(() => b.containerd.pull(ref));
  assert.equal(await digestOfImage(b, ref), image.digest);
});
