/**
 * hosts.toml files that nobody but `spegel configuration` wrote: pulls through the mirror, and none
 * after cleanup.
 */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { assertHolds, bytesOf, servedBytes, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { pushEmptyImages } from '../../lab/registries/quick-push.ts';
import { TlsRegistry } from '../../lab/registries/tls-registry.ts';
import { assertSameTree, file, readTree, type Tree, writeTree } from '../hosts/tree.ts';
import { Asked, MIRROR } from '../support/asked.ts';
import { cleanUp, configure } from '../support/command.ts';

const skip = await labMissing();

/** Replaces what certs.d of this host holds. */
async function plant({ containerd: { hostsDir } }: LabHost, tree: Tree): Promise<void> {
  await rm(hostsDir, { recursive: true });
  writeTree(hostsDir, tree);
}

function build(t: TestContext): Promise<Lab> {
  return Lab.create({ hosts: 3, containerd: ['2.1', '1.7', '1.6'], spegel: true }, t);
}

async function succeed(command: ReturnType<typeof configure>): Promise<void> {
  const { code, stderr } = await command;
  assert.equal(code, 0, stderr);
}

test('with the upstream away every byte comes from a peer; after cleanup the mirror is never asked', {
  skip,
}, async (t) => {
  const lab = await build(t);
  const { registry, url } = lab.upstream;
  const [a, b, c] = [lab.host(0), lab.host(1), lab.host(2)];
  await plant(a, { [`${registry}/hosts.toml`]: file(`server = "${url}"\n`) });
  const text = `# ours\nserver = "${url}"\n[host]\n`;
  await plant(b, { [`${registry}/hosts.toml`]: file(text, 0o600), 'notes.txt': file('x') });
  await plant(c, {}); // it knows the registry by the flag alone
  const trees = lab.hosts.map((host) => readTree(host.containerd.hostsDir));
  // containerd 1.x does not read a file without hosts.
  await succeed(configure(a.containerd.hostsDir, `--containerd-sock=${a.containerd.socket}`));
  await succeed(configure(b.containerd.hostsDir));
  await succeed(configure(c.containerd.hostsDir, `--mirrored-registries=${url}`));

  const image = await makeImage(join(lab.dir, 'image'), { seed: 'configured', layerMiB: 2 });
  const ref = await lab.upstream.push(image, 'configured/app');
  await pushEmptyImages(lab.upstream, lab.dir, ['configured/refused', 'configured/after']);
  await a.containerd.pull(ref);
  for (const host of [b, c]) await untilFound(lab, host, 'configured/app', image);
  await lab.upstream.stop();
  const before = await servedBytes(a);
  for (const host of [b, c]) {
    await host.containerd.pull(ref);
    await assertHolds(host, image);
  }
  const fromPeers = (await servedBytes(a)) - before + (await servedBytes(b));
  assert.ok(fromPeers >= 2 * bytesOf(image), `${fromPeers} bytes`);

  await lab.upstream.start();
  for (const [i, host] of lab.hosts.entries()) {
    const { containerd } = host;
    await host.spegel.stop();
    await containerd.pull(`${registry}/configured/refused:v1`);
    // In place of the daemon: it tells whether it is asked.
    const asked = await Asked.start(lab, host, [MIRROR]);
    await succeed(cleanUp(containerd.hostsDir));
    assertSameTree(readTree(containerd.hostsDir), trees[i] ?? {}, host.name);
    const pull = containerd.pull(`${registry}/configured/after:v1`);
    if (host === c) await assert.rejects(pull, /HTTP response to HTTPS client/);
    else await pull;
    assert.deepEqual(await asked.requests(), [], `containerd ${containerd.version}`);
  }
});

test("a private registry's layers come from a peer, its tags and what no peer has from itself", {
  skip,
}, async (t) => {
  const lab = await build(t);
  const tls = await TlsRegistry.start(lab);
  const image = await makeImage(join(lab.dir, 'private'), { seed: 'private', layerMiB: 2 });
  const ref = await tls.push(image, 'private/app');
  for (const host of lab.hosts) {
    await plant(host, {});
    await tls.trustIn(host.containerd.hostsDir);
    await succeed(configure(host.containerd.hostsDir));
  }
  const [a] = lab.hosts;
  await a?.containerd.pull(ref);
  await tls.forget();
  for (const host of lab.hosts.slice(1)) {
    await untilFound(lab, host, 'private/app', image, tls.registry);
    await host.containerd.pull(ref);
    await assertHolds(host, image);
    const own = (await tls.requests()).filter(({ remote }) =>
      remote.startsWith(`${host.address}:`),
    );
    assert.ok(own.some(({ uri, method }) => method === 'HEAD' && uri.endsWith('/manifests/v1')));
  }
  assert.deepEqual(await tls.blobRequests(), []);
});
