/**
 * The upstream wants what Spegel does not have, or not what containerd has: a credential, or
 * patience.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import {
  type SwitchableRegistry,
  startSwitchable,
} from '../../lab/registries/switchable-registry.ts';
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
  pullBy,
  TAG_VERSIONS,
} from '../support/tag-pulls.ts';

const USER = 'somebody:secret';
const PULL = { timeoutMs: 60_000, user: USER };
/** Two failed pulls ten seconds apart are evidence where a credential is refused. */
const APART_MS = 11_000;

test('a credential that is refused is healed after two tries ten seconds apart, a limit at once', {
  skip: await labMissing(...TAG_VERSIONS),
}, async (t) => {
  const lab = await tagLab(t);
  const names = {
    private: {},
    revoked: {},
    limited: { wantsToken: true },
    locked: { wantsToken: true },
  };
  const switchable = await startSwitchable(lab, names);
  await startAll(lab);
  const wanted = (Object.keys(names) as (keyof typeof names)[]).map((name) => ({
    registry: switchable[name].registry,
    repository: `denied/${name}`,
  }));
  const tags = await movedTags(lab, lab.host(0), wanted);
  const tag = (name: string) => tags.get(`denied/${name}`) as MovedTag;
  await Promise.all([
    cutTwice(lab, switchable.private, tag('private')),
    revoke(lab, switchable.revoked, tag('revoked')),
  ]);
  t.diagnostic('resolved twice and cut, revoked');
  await switchable.limited.setFaults({ tag: { status: 429 } });
  await healsAtOnce(t, lab, switchable.limited, tag('limited'));
  await switchable.locked.setFaults({ token: { status: 429 } });
  await healsAtOnce(t, lab, switchable.locked, tag('locked'));
});

/** Spegel is refused; containerd is told what the tag means each time, and is cut off later. */
async function cutTwice(lab: Lab, registry: SwitchableRegistry, { ref, moved }: MovedTag) {
  await registry.setFaults({ password: USER, blob: { isSilent: true } });
  const cut = (host: LabHost) => cutPull(host, 'cri', ref, registry, 'blob', { options: PULL });
  const hosts = lab.hosts.slice(1);
  await Promise.all(hosts.map(cut));
  await sleep(APART_MS);
  await Promise.all(hosts.map(cut));
  await registry.setFaults({ password: USER });
  await eachPuller(lab, BOTH, (host, way) => assertPulls(host, way, ref, moved, PULL));
  for (const host of hosts) assert.deepEqual(await tagWarnings(host, registry), []);
}

/**
 * The credential that containerd has counts no more. Its pulls fail, as they do without Spegel, at
 * first.
 */
async function revoke(lab: Lab, registry: SwitchableRegistry, { ref, old, moved }: MovedTag) {
  await registry.setFaults({ password: 'somebody:else' });
  const fails = () =>
    eachPuller(lab, ['cri'], (host, way) => assert.rejects(pullBy(host, way, ref, PULL)));
  const began = performance.now();
  await fails();
  await fails();
  const hosts = lab.hosts.slice(1);
  for (const host of hosts) {
    // What the upstream said is told before it is healed.
    const told = (await tagWarnings(host, registry)).map((line) => line.answeredByFleet);
    assert.ok(!told.includes(true), host.name);
  }
  await sleep(Math.max(0, APART_MS - (performance.now() - began)));
  // The first one that is far enough from another one; on a busy host the second was.
  await fails().catch(() => {});
  await eachPuller(lab, ['cri'], async (host, way) => {
    await pullFromFleet(host, way, ref, PULL);
    assert.equal(await digestOfTag(host, ref, 'k8s.io'), old, host.name);
    assert.ok((await refusals(host, ref)) >= 2, host.name);
    const told = (await tagWarnings(host, registry)).map(({ reason }) => reason);
    assert.deepEqual([...new Set(told)], ['unauthorized'], host.name);
    // After each answer of the fleet the upstream has its turn: the credential may be right now.
    await assert.rejects(pullBy(host, way, ref, PULL), host.name);
    await pullFromFleet(host, way, ref, PULL);
  });
  await registry.setFaults({ password: USER });
  await eachPuller(lab, ['cri'], (host, way) => assertPulls(host, way, ref, moved, PULL));
}

async function healsAtOnce(
  t: TestContext,
  lab: Lab,
  registry: SwitchableRegistry,
  { ref, old }: MovedTag,
) {
  await eachPuller(lab, ['cri'], async (host, way) => {
    await assert.rejects(pullBy(host, way, ref, { timeoutMs: 60_000 }));
    await pullFromFleet(host, way, ref);
    await assertPulls(host, way, ref, old);
    assert.ok((await refusals(host, ref)) <= 1, `${host.name} ${ref}`);
    const told = (await tagWarnings(host, registry)).map(({ reason }) => reason);
    assert.deepEqual(told, ['rate_limited'], host.name);
  });
  t.diagnostic(`healed: ${ref}`);
}
