/**
 * A registry that only containerd's proxy leads to, and hosts.toml files as k3s and administrators
 * write them.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { LOCAL_MIRROR } from '../../lab/containerd/hosts-toml.ts';
import { EXECUTABLE } from '../../lab/executable.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { startForwardProxy } from '../../lab/network/forward-proxy.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import {
  type SwitchableRegistry,
  startSwitchable,
} from '../../lab/registries/switchable-registry.ts';
import {
  type MovedTag,
  movedTags,
  startAll,
  startOn,
  tagLab,
  tagWarnings,
} from '../support/tag-fleet.ts';
import { assertPulls, BOTH, cutPull, eachPuller, TAG_VERSIONS } from '../support/tag-pulls.ts';

/**
 * As a service whose capabilities are bounded runs: it cannot look at the environment of
 * containerd.
 */
const WITHOUT_PTRACE = [
  'setpriv',
  '--bounding-set=-sys_ptrace',
  '--inh-caps=-sys_ptrace',
  EXECUTABLE,
];

test('a registry that only the proxy of containerd leads to says what its tags mean', {
  skip: await labMissing(...TAG_VERSIONS),
}, async (t) => {
  const lab = await tagLab(t);
  const switchable = await startSwitchable(lab, { known: {}, unknown: {} });
  const proxy = await startForwardProxy(lab);
  await startAll(lab);
  const names = ['known', 'unknown'] as const;
  const wanted = names.map((name) => ({
    registry: switchable[name].registry,
    repository: `proxy/${name}`,
  }));
  const tags = await movedTags(lab, lab.host(0), wanted);
  const tag = (name: string) => tags.get(`proxy/${name}`) as MovedTag;
  const [address = ''] = switchable.known.registry.split(':');
  const pullers = lab.hosts.slice(1);
  // The holder has got the old images; from now on nobody reaches the registries but by the proxy.
  for (const host of pullers) {
    for (const { registry } of [switchable.known, switchable.unknown]) {
      await host.net.bar(address, Number(registry.split(':')[1]), 'drop');
    }
    host.containerd.env.HTTP_PROXY = proxy.url;
    await host.containerd.restart();
  }
  await eachPuller(lab, BOTH, (host, way) =>
    assertPulls(host, way, tag('known').ref, tag('known').moved),
  );
  const unknowing: string[] = [];
  for (const host of pullers) {
    const found = (await host.spegel.logs()).filter(({ msg }) => msg === 'proxy of containerd');
    assert.equal(found.at(-1)?.proxy, `http: ${proxy.url}, https: none`, host.name);
    await host.spegel.stop();
    await startOn(lab, host, { program: WITHOUT_PTRACE });
    const starts = async () => (await host.spegel.logs()).filter(({ msg }) => msg === 'started');
    // Ready comes before the line is read back on a busy machine.
    await waitUntil(`${host.name} has started`, async () => (await starts()).length > 1);
    if ((await starts()).at(-1)?.proxy === 'unknown') unknowing.push(host.name);
  }
  // One was seen, twice on a busy machine, that could look all the same: what it sees is right.
  assert.ok(unknowing.length > 0, 'nobody has to do without the proxy');
  await switchable.unknown.setFaults({ blob: { isSilent: true } });
  await eachPuller(lab, ['cri'], (host, way) =>
    cutPull(host, way, tag('unknown').ref, switchable.unknown, 'blob', { from: proxy.address }),
  );
  await switchable.unknown.setFaults();
  await eachPuller(lab, BOTH, (host, way) =>
    assertPulls(host, way, tag('unknown').ref, tag('unknown').moved),
  );
  for (const host of pullers) assert.deepEqual(await tagWarnings(host), [], host.name);
  assert.ok((await proxy.requests()).length > 0);
});

/**
 * The text of a hosts.toml, of a registry that speaks TLS with a certificate that only containerd
 * trusts.
 */
const FILES: Readonly<Record<string, (registry: SwitchableRegistry) => string>> = {
  'an empty server, as k3s writes it': () => `server = ""
[host."${LOCAL_MIRROR}"]
  capabilities = ["pull", "resolve"]
`,
  'all capabilities below a table of hosts': ({ url }) => `server = ""

[host]
  [host."${LOCAL_MIRROR}"]
    capabilities = ["pull", "resolve", "push"]
  [host."${url}"]
    capabilities = ["pull", "resolve", "push"]
`,
  'capabilities of no host': ({ url }) => `server = "${url}/v2/"
capabilities = ["Pull", "RESOLVE"]
[host."${LOCAL_MIRROR}"]
`,
};

test('whatever way a hosts.toml names the registry, it says what its tags mean', {
  skip: await labMissing('2.1', '2.4', '1.7'),
}, async (t) => {
  const containerd = (['2.1', '1.7', '2.4'] as const).map((version) => ({ version, cri: true }));
  const lab = await Lab.create({ hosts: containerd.length, containerd }, t);
  const tls = { isTls: true };
  const switchable = await startSwitchable(lab, { a: tls, b: tls, c: tls });
  await startAll(lab);
  const rows = Object.entries(FILES).map(([name, file], index) => {
    const registry = Object.values(switchable)[index] as SwitchableRegistry;
    return {
      name,
      text: file(registry),
      registry: registry.registry,
      repository: `files/${index}`,
    };
  });
  await Promise.all(
    rows.flatMap(({ registry, text }) =>
      lab.hosts.map(({ containerd: { hostsDir } }) =>
        writeFile(join(hostsDir, registry, 'hosts.toml'), text),
      ),
    ),
  );
  const tags = await movedTags(lab, lab.host(0), rows);
  for (const { name, repository } of rows) {
    const { ref, moved } = tags.get(repository) as MovedTag;
    await eachPuller(lab, BOTH, (host, way) => assertPulls(host, way, ref, moved));
    t.diagnostic(name);
  }
});
