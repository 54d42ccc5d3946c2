/**
 * A tag that has moved, and an upstream that says so: whatever else happens to a pull, nobody gets
 * the old image.
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
  pushTag,
  startAll,
  tagLab,
  tagWarnings,
} from '../support/tag-fleet.ts';
import {
  assertPulls,
  BOTH,
  cutPull,
  eachPuller,
  pullBy,
  TAG_VERSIONS,
} from '../support/tag-pulls.ts';

/**
 * Longer than containerd waits for the first byte of an answer, and than any try counts as fresh.
 */
const LONG_MS = 64_000;
/**
 * Two of them are so far apart that they would be evidence if they had failed, and half a minute
 * before the last.
 */
const LONG_STARTS_MS = [0, 4_000, 15_000, 50_000];
const USER = 'somebody:secret';
const AT_ONCE = 10;
const CUTS = [
  ['cut', 'tag'],
  ['cut', 'blob'],
  ['hub', 'tag'],
] as const;

test('whatever happens to a pull of a tag that has moved, nobody gets the old image', {
  skip: await labMissing(...TAG_VERSIONS),
}, async (t) => {
  const lab = await tagLab(t);
  const names = { steady: {}, slow: {}, long: {}, cut: {}, hub: { wantsToken: true } };
  const switchable = await startSwitchable(lab, names);
  await startAll(lab);
  const all = Object.keys(names) as (keyof typeof names)[];
  const wanted = all.map((name) => ({
    registry: switchable[name].registry,
    repository: `moved/${name}`,
  }));
  const tags = await movedTags(lab, lab.host(0), wanted);
  const tag = (name: string) => tags.get(`moved/${name}`) as MovedTag;
  const pullers = lab.hosts.slice(1);
  const short = async () => {
    await keepUp(t, lab, switchable.steady, tag('steady'));
    await pullAtOnce(pullers, switchable.slow, tag('slow'));
    await cutAnyhow(t, lab, switchable, tag);
  };
  await Promise.all([pullLong(pullers, switchable.long, tag('long')), short()]);
  await restartBetween(lab, switchable.cut, tag('cut'));
  await Promise.all(pullers.map(assertNothingTold));
});

/** As the kubelet does: once where the image is absent, or each time that a container starts. */
async function keepUp(
  t: TestContext,
  lab: Lab,
  registry: SwitchableRegistry,
  { ref, moved }: MovedTag,
) {
  await eachPuller(lab, BOTH, (host, way) => assertPulls(host, way, ref, moved));
  const newer = await pushTag(lab, 'moved/steady', 'newer');
  for (let i = 0; i < 2; i++) {
    await eachPuller(lab, BOTH, (host, way) => assertPulls(host, way, ref, newer.digest));
  }
  t.diagnostic('kept up with');
  await registry.setFaults({ tag: { status: 404 } });
  for (let i = 0; i < 3; i++) {
    await eachPuller(lab, BOTH, (host, way) =>
      assert.rejects(pullBy(host, way, ref), /not found/i),
    );
  }
  t.diagnostic('deleted');
}

async function pullAtOnce(
  hosts: readonly LabHost[],
  registry: SwitchableRegistry,
  { ref, moved }: MovedTag,
) {
  await registry.setFaults({ tag: { delayMs: 1_500 } });
  await Promise.all(
    hosts.map(async (host) => {
      const pulls = Array.from({ length: AT_ONCE }, () => assertPulls(host, 'cri', ref, moved));
      await Promise.all([...pulls, assertPulls(host, 'ctr', ref, moved)]);
    }),
  );
}

async function cutAnyhow(
  t: TestContext,
  lab: Lab,
  switchable: Record<'cut' | 'hub', SwitchableRegistry>,
  tag: (name: string) => MovedTag,
): Promise<void> {
  for (const [name, kind] of CUTS) {
    const { ref } = tag(name);
    const { digest } = await pushTag(lab, `moved/${name}`, `before-${kind}`);
    await switchable[name].setFaults({ [kind]: { isSilent: true } });
    await eachPuller(lab, BOTH, (host, way) => cutPull(host, way, ref, switchable[name], kind));
    await switchable[name].setFaults();
    await eachPuller(lab, BOTH, (host, way) => assertPulls(host, way, ref, digest));
    t.diagnostic(`cut at the ${kind} of ${name}`);
  }
}

/** containerd dies while it pulls, and comes back. */
async function restartBetween(
  lab: Lab,
  registry: SwitchableRegistry,
  { ref }: MovedTag,
): Promise<void> {
  const { digest } = await pushTag(lab, 'moved/cut', 'before-restart');
  await registry.setFaults({ tag: { isSilent: true } });
  await Promise.all(
    lab.hosts.slice(1).map(async (host) => {
      await cutPull(host, 'cri', ref, registry, 'tag', {
        end: () => host.containerd.service.stop('SIGKILL'),
      });
      await host.containerd.restart();
    }),
  );
  await registry.setFaults();
  await eachPuller(lab, BOTH, (host, way) => assertPulls(host, way, ref, digest));
}

/**
 * A pull that takes longer than a minute, and others of that tag that begin meanwhile and wait for
 * what it downloads. The upstream tells those alone what the tag means who have a credential:
 * Spegel is not one of them.
 */
async function pullLong(
  hosts: readonly LabHost[],
  registry: SwitchableRegistry,
  { ref, moved }: MovedTag,
) {
  await registry.setFaults({ blob: { lastsMs: LONG_MS }, password: USER });
  await Promise.all(
    hosts.map(async (host, index) => {
      const way = index % 2 === 0 ? 'ctr' : 'cri';
      const pulls = LONG_STARTS_MS.map(async (startMs) => {
        await sleep(startMs);
        await assertPulls(host, way, ref, moved, { timeoutMs: 2 * LONG_MS, user: USER });
      });
      await Promise.all(pulls);
    }),
  );
}

async function assertNothingTold(host: LabHost): Promise<void> {
  assert.deepEqual(await tagWarnings(host), [], host.name);
  assert.equal(await host.spegel.metric('spegel_upstream_failures_total'), 0, host.name);
}
