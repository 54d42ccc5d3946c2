/** The upstream fails containerd in one way or another: a pull of a tag gets what the fleet has, and says why. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab, type LabHost, labMissing } from '../support/lab.ts';
import { type MoodyRegistry, type Moods, startMoody } from '../support/moody-registry.ts';
import {
  digestOfTag,
  type MovedTag,
  movedTags,
  namespaceOf,
  pullBy,
  pullFromFleet,
  refusals,
  startAll,
  TAG_VERSIONS,
  type Way,
} from '../support/tag-pulls.ts';

/** What the host itself was told of a tag counts for so long. */
const OPINION_MS = 10_000;
const PULL = { timeoutMs: 30_000 };
const WARNING = 'containerd could not get a tag from the upstream registry';

interface Situation {
  readonly moods: Moods;
  /** Pulls that fail before one gets the old tag. */
  readonly failing: 0 | 1;
  /** Of the metric and the log; undefined: the probe has spared containerd the failure. */
  readonly reason?: string;
}

/** No Spegel of a host that pulls has reached any of these registries before. */
const SITUATIONS = {
  limited: { moods: { ping: { status: 401 }, tag: { status: 429 } }, failing: 1, reason: 'rate_limited' },
  broken: { moods: { ping: { status: 503 }, tag: { status: 503 } }, failing: 1, reason: 'server_error' },
  closed: { moods: { ping: { hangsUp: true }, tag: { hangsUp: true } }, failing: 1, reason: 'closed' },
  refused: { moods: { isGone: true }, failing: 0 },
} as const satisfies Record<string, Situation>;
type Name = keyof typeof SITUATIONS;
const NAMES = Object.keys(SITUATIONS) as Name[];
const BOTH: readonly Way[] = ['ctr', 'cri'];

test('whatever fails at the upstream, the second pull at the latest gets what the fleet has', {
  skip: await labMissing(...TAG_VERSIONS),
}, async (t) => {
  const versions = ['2.1' as const, ...TAG_VERSIONS];
  const containerd = versions.map((version) => ({ version, cri: true }));
  const lab = await Lab.create({ hosts: versions.length, containerd }, t);
  const moody = await startMoody(lab, { limited: {}, broken: {}, closed: {}, refused: {} });
  await startAll(lab);
  const wanted = NAMES.flatMap((name) =>
    BOTH.map((way) => ({ registry: moody[name].registry, repository: `${name}/${way}` })),
  );
  const tags = await movedTags(lab, lab.host(0), wanted);
  await Promise.all(NAMES.map((name) => moody[name].feel(SITUATIONS[name].moods)));
  const pullers = lab.hosts.slice(1);
  const eachTag = (step: (host: LabHost, name: Name, way: Way, tag: MovedTag) => Promise<void>) =>
    Promise.all(
      pullers.map(async (host) => {
        for (const name of NAMES) {
          for (const way of BOTH) await step(host, name, way, tags.get(`${name}/${way}`) as MovedTag);
        }
      }),
    );
  await eachTag(async (host, name, way, tag) => {
    const what = `${host.containerd.version} ${way}, ${name}`;
    const { failing } = SITUATIONS[name];
    if (failing > 0) await assert.rejects(pullBy(host, way, tag.ref, PULL), what);
    await pullFromFleet(host, way, tag.ref);
    assert.equal(await digestOfTag(host, tag.ref, namespaceOf(way)), tag.old, what);
    // The image event of what the fleet gave proves nothing: the upstream is as it was.
    await pullFromFleet(host, way, tag.ref);
    assert.ok((await refusals(host, tag.ref)) <= failing, what);
  });
  await Promise.all(pullers.map((host) => assertTold(host, moody)));
  await Promise.all(NAMES.map((name) => moody[name].feel()));
  await sleep(OPINION_MS);
  await eachTag(async (host, name, way, tag) => {
    await pullBy(host, way, tag.ref, PULL);
    const what = `${host.containerd.version} ${way}, ${name} is back`;
    assert.equal(await digestOfTag(host, tag.ref, namespaceOf(way)), tag.moved, what);
  });
});

/** What the upstream said is in the log once, and counted. */
async function assertTold(host: LabHost, moody: Record<Name, MoodyRegistry>): Promise<void> {
  const lines = (await host.spegel.logs()).filter(({ msg }) => msg === WARNING);
  for (const name of NAMES) {
    const { registry } = moody[name];
    const reason: string | undefined = (SITUATIONS[name] as Situation).reason;
    const own = lines.filter((line) => line.registry === registry);
    const told = own.map((line) => [line.level, line.reason, line.answeredByFleet]);
    assert.deepEqual(told, reason ? [['WARN', reason, true]] : [], `${host.name} ${name}`);
    const labels = `registry="${registry}"`;
    const counted = await host.spegel.metric('spegel_upstream_failures_total', labels);
    assert.equal(counted, reason ? BOTH.length : 0, `${host.name} ${name}`);
  }
}
