/**
 * A containerd with an address of its own and no Spegel beside it, as in a container or a VM, asks
 * another host's.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { assertHolds, bytesOf, digestsOf, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { type Layout, makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { configure } from '../support/command.ts';

const skip = await labMissing();

interface Fleet {
  readonly lab: Lab;
  /** Has the daemon that the clients ask, and nothing in its store. */
  readonly asked: LabHost;
  readonly holder: LabHost;
  /** containerd 2.1, 1.7 and 1.6 without a daemon. */
  readonly clients: readonly LabHost[];
  readonly image: Layout;
  readonly ref: string;
}

/** An image that one host holds and another finds, which clients have as their only mirror. */
async function startFleet(t: TestContext, name: string): Promise<Fleet> {
  const containerd = ['2.1', '2.1', '2.1', '1.7', '1.6'] as const;
  const lab = await Lab.create({ hosts: 5, containerd }, t);
  const [asked, holder, ...clients] = [0, 1, 2, 3, 4].map((index) => lab.host(index));
  assert.ok(asked && holder);
  await lab.startSpegel({}, [asked, holder]);
  const shape = { seed: name, layers: 3, layerMiB: 2 };
  const image = await makeImage(join(lab.dir, 'image'), shape);
  const ref = await lab.upstream.push(image, `clients/${name}`);
  await holder.containerd.pull(ref);
  await untilFound(lab, asked, `clients/${name}`, image);
  for (const { containerd } of clients) {
    const flags = [`--mirror-targets=http://${asked.address}:5000`, '--basic-auth-path='];
    const { code, stderr } = await configure(containerd.hostsDir, ...flags);
    assert.equal(code, 0, stderr);
  }
  return { lab, asked, holder, clients, image, ref };
}

/** Its lines with this message. */
async function linesOf(host: LabHost, message: string) {
  return (await host.spegel.logs()).filter(({ msg }) => msg === message);
}

test('with the upstream down a client elsewhere gets tag, manifest and layers through a third host', {
  skip,
}, async (t) => {
  const { lab, asked, clients, image, ref } = await startFleet(t, 'elsewhere');
  await lab.upstream.stop();
  for (const client of clients) {
    const before = (await linesOf(asked, 'blob from the fleet')).length;
    await client.containerd.pull(ref, { timeoutMs: 60_000 });
    await assertHolds(client, image);
    const relayed = (await linesOf(asked, 'blob from the fleet')).slice(before);
    assert.ok(relayed.length >= 4, `config and three layers, ${relayed.length} came`);
    for (const { client: address } of relayed) assert.equal(address, client.address);
  }
  const store = await asked.containerd.digests();
  assert.deepEqual(
    digestsOf(image).filter((digest) => store.includes(digest)),
    [],
    'what clients got is in the store of the host that they asked',
  );
  const hits = 'cache="hit",source="external"';
  assert.ok((await asked.spegel.metric('spegel_mirror_requests_total', hits)) >= 3 * 6);
  const relayed = await asked.spegel.metric('spegel_relayed_bytes_total');
  assert.ok(relayed >= 3 * bytesOf(image), `${relayed} bytes were relayed`);
  assert.equal(await asked.spegel.metric('spegel_inflight_leads_total'), 0);
});

test('--mirror-clients host: it is sent to the upstream at once, and reads why', {
  skip,
}, async (t) => {
  const { lab, asked, holder, clients, image, ref } = await startFleet(t, 'host');
  const [client] = clients;
  assert.ok(client);
  await asked.spegel.stop();
  await lab.startSpegel({ flags: { 'mirror-clients': 'host' } }, [asked]);
  await untilFound(lab, asked, 'clients/host', image);
  const path = `/v2/clients/host/blobs/${image.manifests[0]?.layers[0]?.digest}?ns=${lab.upstream.registry}`;
  const answer = await client.net.curl(`http://${asked.address}:5000${path}`);
  const reason = `not mirrored for ${client.address}: --mirror-clients is host`;
  assert.ok(answer.includes(reason), answer);
  const startedAt = performance.now();
  await client.containerd.pull(ref);
  t.diagnostic(`pulled in ${Math.round(performance.now() - startedAt)} ms`);
  await assertHolds(client, image);
  assert.deepEqual(
    (await linesOf(asked, 'client not mirrored')).map((line) => line.reason),
    [reason],
  );
  assert.equal((await linesOf(asked, 'blob from the fleet')).length, 0);
  // Listed it is mirrored.
  await client.containerd.removeImage(ref);
  await asked.spegel.stop();
  const flags = { 'mirror-clients': `10.255.0.0/16,${client.address}` };
  await lab.startSpegel({ flags }, [asked]);
  await untilFound(lab, asked, 'clients/host', image);
  await lab.upstream.stop();
  await client.containerd.pull(ref, { timeoutMs: 60_000 });
  await assertHolds(client, image);
  assert.ok(holder.spegel.started);
});

test('a client that is cut off in the middle gives its place back, and a slow one keeps nobody out', {
  skip,
}, async (t) => {
  const { lab, asked, clients, image, ref } = await startFleet(t, 'slow');
  const [slow, other] = clients;
  assert.ok(slow && other);
  await lab.upstream.stop();
  await slow.net.rate('2mbit');
  const pulling = slow.containerd.pull(ref, { timeoutMs: 120_000 });
  const hasBegun = async () => (await slow.containerd.digests()).length > 0;
  await waitUntil('the slow pull has begun', hasBegun);
  await other.containerd.pull(ref, { timeoutMs: 60_000 });
  await assertHolds(other, image);
  await pulling;
  await assertHolds(slow, image);
  assert.equal(await asked.spegel.metric('http_requests_inflight', 'handler="blob"'), 0);
});
