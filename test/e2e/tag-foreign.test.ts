/**
 * Requests that prove nothing of this host's containerd, namespaces, tags that nobody has, and
 * peers as the source.
 */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Containerd } from '../../lab/containerd/containerd.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import {
  type SwitchableRegistry,
  startSwitchable,
} from '../../lab/registries/switchable-registry.ts';
import {
  type MovedTag,
  movedTags,
  pullFromFleet,
  pushTag,
  refusals,
  startAll,
  startOn,
  tagWarnings,
} from '../support/tag-fleet.ts';
import { assertPulls, digestOfTag, pullBy } from '../support/tag-pulls.ts';

const ACCEPT = 'Accept: application/vnd.oci.image.manifest.v1+json';
/** BuildKit, a person, and a program that says that it is containerd. */
const AGENTS = ['buildkit/v0.20', 'curl/8', 'containerd/2.1.9'];
/** As often as one of this host's containerd is healed at the second. */
const TIMES = 3;
/** Not among those that Spegel shares. */
const NAMESPACE = 'apart';

test('other clients prove nothing, another namespace does, and peers may be made the source of tags', {
  skip: await labMissing('2.1', '2.4', '1.6'),
}, async (t) => {
  const containerd = (['2.1', '2.4', '1.6'] as const).map((version) => ({ version, cri: true }));
  const lab = await Lab.create({ hosts: containerd.length, containerd }, t);
  const switchable = await startSwitchable(lab, { limited: {}, barren: {} });
  await startAll(lab);
  const { registry } = switchable.limited;
  const wanted = ['foreign', 'apart', 'peers'].map((name) => ({
    registry,
    repository: `of/${name}`,
  }));
  const tags = await movedTags(lab, lab.host(0), wanted);
  const tag = (name: string) => tags.get(`of/${name}`) as MovedTag;
  await switchable.limited.setFaults({ ping: { status: 401 }, tag: { status: 429 } });
  await pushTag(lab, 'of/barren', 'new');
  await switchable.barren.setFaults({ tag: { status: 503 } });
  await Promise.all(
    lab.hosts.slice(1).map(async (host) => {
      await askByOthers(lab, host, tag('foreign'));
      await assert.rejects(pullBy(host, 'cri', tag('foreign').ref));
      await pullFromFleet(host, 'cri', tag('foreign').ref);
      assert.equal(await digestOfTag(host, tag('foreign').ref, 'k8s.io'), tag('foreign').old);
      await pullApart(host, tag('apart'));
      await pullBarren(host, switchable.barren);
    }),
  );
  t.diagnostic('others, namespaces, nobody');
  await switchable.limited.setFaults();
  await pullFromPeers(t, lab, lab.host(1), tag('peers'));
});

/** None of them gets the tag, and none of them counts as a pull of this host's containerd. */
async function askByOthers(lab: Lab, host: LabHost, { ref }: MovedTag): Promise<void> {
  const [registry = '', repository = ''] = ref.replace(/:v1$/, '').split(/\/(.*)/s);
  const path = `/v2/${repository}/manifests/v1?ns=${registry}`;
  const flags = ['--head', '--output', '/dev/null', '--write-out', '%{http_code}', '-H', ACCEPT];
  for (const agent of AGENTS) {
    for (let i = 0; i < TIMES; i++) {
      assert.equal(await host.spegel.get(path, ...flags, '-A', agent), '404', agent);
    }
  }
  const dir = join(host.dir, 'second');
  await mkdir(dir);
  const second = new Containerd(lab.tools, host.net, dir, { version: '1.7' });
  lab.keep(`${host.name} second containerd`, second.service);
  await second.start();
  for (let i = 0; i < TIMES; i++) {
    await assert.rejects(second.pull(ref, { hostsDir: host.containerd.hostsDir }));
  }
  assert.deepEqual(await tagWarnings(host), [], host.name);
}

async function pullApart(host: LabHost, { ref, old }: MovedTag): Promise<void> {
  const options = { namespace: NAMESPACE };
  await assert.rejects(pullBy(host, 'ctr', ref, options));
  await pullFromFleet(host, 'ctr', ref, options);
  assert.equal(await digestOfTag(host, ref, NAMESPACE), old, host.name);
  assert.ok((await refusals(host, ref)) <= 1, host.name);
}

/** What the upstream said is told where nobody has the tag, too. */
async function pullBarren(host: LabHost, barren: SwitchableRegistry): Promise<void> {
  const ref = `${barren.registry}/of/barren:v1`;
  for (let i = 0; i < TIMES; i++) await assert.rejects(pullBy(host, 'cri', ref));
  await waitUntil('the log has it', async () => (await tagWarnings(host, barren)).length > 0);
  const [line, ...more] = await tagWarnings(host, barren);
  assert.deepEqual(more, [], host.name);
  const { tag, reason, answeredByFleet, upstream } = line ?? {};
  assert.deepEqual([tag, reason, answeredByFleet], ['of/barren:v1', 'server_error', false]);
  assert.equal(upstream, `${barren.url}/v2: status 503`);
}

/** The fleet is asked first, whatever the upstream would say: that is what the setting is for. */
async function pullFromPeers(t: TestContext, lab: Lab, host: LabHost, { ref, old }: MovedTag) {
  await host.spegel.stop();
  await startOn(lab, host, { flags: { 'tag-source': 'peers' } });
  t.diagnostic(`${host.name} asks peers`);
  await assertPulls(host, 'cri', ref, old);
}
