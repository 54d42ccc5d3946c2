/**
 * The upstream fails containerd in one way or another: a pull of a tag gets what the fleet has, and
 * says why.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeHostsToml } from '../../lab/containerd/hosts-toml.ts';
import { type Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { useNameServer } from '../../lab/network/host-names.ts';
import {
  type Faults,
  type SwitchableRegistry,
  startSwitchable,
} from '../../lab/registries/switchable-registry.ts';
import { serveDns, type Zone } from '../support/dns-server.ts';
import {
  type MovedTag,
  movedTags,
  pullFromFleet,
  refusals,
  startAll,
  tagLab,
  tagWarnings,
} from '../support/tag-fleet.ts';
import {
  assertPulls,
  BOTH,
  cutPull,
  digestOfTag,
  eachPuller,
  namespaceOf,
  pullBy,
  TAG_VERSIONS,
  type Way,
} from '../support/tag-pulls.ts';

/** What the host itself was told of a tag that it did not get counts for so long, with room. */
const OPINION_MS = 2_500;
/** A pull that was cancelled sooner says nothing of a silent registry: it may be a slow one. */
const PATIENCE_MS = 10_500;
const SILENT = { isSilent: true };
/** Of the registry whose name is no more. */
const NAME = 'registry.lab.test';

interface Situation {
  readonly faults: Faults;
  /** Pulls that fail before one gets the old tag. */
  readonly failing: 0 | 1;
  /** The rule does not look at the way; `ctr` takes much longer. */
  readonly ways: readonly Way[];
  /** Of the metric and the log. */
  readonly reason: string;
}

/** No Spegel of a host that pulls has reached any of these registries before. */
const SITUATIONS = {
  limited: {
    faults: { ping: { status: 401 }, tag: { status: 429 } },
    ways: BOTH,
    failing: 1,
    reason: 'rate_limited',
  },
  broken: {
    faults: { ping: { status: 503 }, tag: { status: 503 } },
    ways: ['ctr'],
    failing: 1,
    reason: 'server_error',
  },
  closed: {
    faults: { ping: { hangsUp: true }, tag: { hangsUp: true } },
    ways: ['cri'],
    failing: 1,
    reason: 'closed',
  },
  silent: { faults: { ping: SILENT, tag: SILENT }, ways: ['cri'], failing: 1, reason: 'timeout' },
  refused: { faults: { isGone: true }, ways: ['ctr'], failing: 0, reason: 'refused' },
  unknown: { faults: {}, ways: ['cri'], failing: 0, reason: 'unknown_name' },
} as const satisfies Record<string, Situation>;
type Name = keyof typeof SITUATIONS;
const NAMES = Object.keys(SITUATIONS) as Name[];
const SWITCHABLE = { limited: {}, broken: {}, closed: {}, silent: {}, refused: {}, unknown: {} };
const waysOf = (name: Name): readonly Way[] => SITUATIONS[name].ways;

test('whatever fails at the upstream, the second pull at the latest gets what the fleet has', {
  skip: await labMissing(...TAG_VERSIONS),
}, async (t) => {
  const lab = await tagLab(t);
  const switchable = await startSwitchable(lab, SWITCHABLE);
  const naming = await giveName(t, lab, switchable.unknown);
  await startAll(lab);
  const registryOf = (name: Name) => (name === 'unknown' ? NAME : switchable[name].registry);
  const wanted = NAMES.flatMap((name) =>
    waysOf(name).map((way) => ({ registry: registryOf(name), repository: `${name}/${way}` })),
  );
  const tags = await movedTags(lab, lab.host(0), wanted);
  await Promise.all(NAMES.map((name) => switchable[name].setFaults(SITUATIONS[name].faults)));
  naming.isKnown = false;
  const eachTag = async (
    step: (host: LabHost, way: Way, tag: MovedTag, name: Name) => Promise<void>,
  ) => {
    for (const name of NAMES) {
      await eachPuller(lab, waysOf(name), (host, way) =>
        step(host, way, tags.get(`${name}/${way}`) as MovedTag, name),
      );
    }
  };
  await eachTag(async (host, way, { ref, old }, name) => {
    const what = `${host.containerd.version} ${way}, ${name}`;
    const { failing } = SITUATIONS[name];
    if (name === 'silent') {
      await cutPull(host, way, ref, switchable.silent, 'tag');
      await sleep(PATIENCE_MS);
    } else if (failing > 0) await assert.rejects(pullBy(host, way, ref), what);
    await pullFromFleet(host, way, ref);
    assert.equal(await digestOfTag(host, ref, namespaceOf(way)), old, what);
    // The image event of what the fleet gave proves nothing: the upstream is as it was.
    await pullFromFleet(host, way, ref);
    assert.ok((await refusals(host, ref)) <= failing, what);
    t.diagnostic(what);
  });
  await Promise.all(lab.hosts.slice(1).map((host) => assertTold(host, registryOf)));
  await Promise.all(NAMES.map((name) => switchable[name].setFaults()));
  naming.isKnown = true;
  await sleep(OPINION_MS);
  await eachTag((host, way, { ref, moved }) => assertPulls(host, way, ref, moved));
});

/**
 * A name for that registry, which a name server of the test's own knows for as long as it is told
 * to.
 */
async function giveName(t: TestContext, lab: Lab, { url, registry }: SwitchableRegistry) {
  const naming = { isKnown: true };
  const [address = ''] = registry.split(':');
  const zone: Zone = ({ name, type }) => {
    if (!naming.isKnown || name !== NAME) return undefined;
    return type === 'A' ? [{ name, type, data: address }] : [];
  };
  const { testAddress } = lab.network;
  await serveDns(t, zone, { host: testAddress, port: 53 });
  await useNameServer(lab.hosts, testAddress);
  await Promise.all(lab.hosts.map(({ containerd }) => containerd.restart()));
  const server = url.replace(address, NAME);
  for (const { containerd } of lab.hosts) {
    await writeHostsToml(containerd.hostsDir, { registry: NAME, server });
  }
  return naming;
}

/**
 * What the upstream said is in the log, and counted, for each pull that failed: more than one where
 * a peer was not found in time.
 */
async function assertTold(host: LabHost, registryOf: (name: Name) => string): Promise<void> {
  for (const name of NAMES) {
    const registry = registryOf(name);
    const { reason, failing } = SITUATIONS[name];
    const told = (await tagWarnings(host, { registry })).map((line) => line.reason);
    const count = (labels: string) => host.spegel.metric('spegel_upstream_failures_total', labels);
    const counted = await count(`registry="${registry}",reason="${reason}"`);
    const what = `${host.name} ${name}: ${told}, ${counted}`;
    assert.ok(told.length >= failing && told.every((one) => one === reason), what);
    assert.ok(counted >= failing * waysOf(name).length, what);
    assert.equal(await count(`registry="${registry}"`), counted, what);
  }
}
