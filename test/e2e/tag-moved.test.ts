/** A tag that has moved, and an upstream that says so: whatever else happens to a pull, nobody gets the old image. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../support/exec.ts';
import { Lab, type LabHost, labMissing } from '../support/lab.ts';
import { type Kind, type MoodyRegistry, startMoody } from '../support/moody-registry.ts';
import {
  digestOfTag,
  type MovedTag,
  movedTags,
  namespaceOf,
  pullBy,
  pushTag,
  startAll,
  TAG_VERSIONS,
  type Way,
} from '../support/tag-pulls.ts';

const USER = 'somebody:secret';
const WARNING = 'containerd could not get a tag from the upstream registry';
/** Two pulls that far apart are evidence even where a credential is wanted that Spegel does not have. */
const APART_MS = 10_500;
/** Longer than containerd waits for the first byte of an answer, and than any try counts as fresh. */
const LONG_MS = 64_000;
const AT_ONCE = 10;
const BOTH: readonly Way[] = ['ctr', 'cri'];
const pullOptions = (ref: string) => ({
  timeoutMs: 100_000,
  ...(ref.includes('/private:') ? { user: USER } : {}),
});

test('whatever happens to a pull of a tag that has moved, nobody gets the old image', {
  skip: await labMissing(...TAG_VERSIONS),
}, async (t) => {
  const versions = ['2.1' as const, ...TAG_VERSIONS];
  const containerd = versions.map((version) => ({ version, cri: true }));
  const lab = await Lab.create({ hosts: versions.length, containerd }, t);
  const names = { steady: {}, slow: {}, long: {}, cut: {}, hub: { wantsToken: true }, private: {} };
  const moody = await startMoody(lab, names);
  await startAll(lab);
  const all = Object.keys(names) as (keyof typeof names)[];
  const wanted = all.map((name) => ({ registry: moody[name].registry, repository: `moved/${name}` }));
  const tags = await movedTags(lab, lab.host(0), wanted);
  const tag = (name: string) => tags.get(`moved/${name}`) as MovedTag;
  const pullers = lab.hosts.slice(1);
  const each = (step: (host: LabHost, way: Way) => Promise<void>) =>
    Promise.all(
      pullers.map(async (host) => {
        for (const way of BOTH) await step(host, way);
      }),
    );
  const long = pullLong(pullers, moody.long, tag('long'));
  const denied = cutTwice(pullers, moody.private, tag('private'));

  await each((host, way) => assertPulls(host, way, tag('steady').ref, tag('steady').moved));
  const newer = await pushTag(lab, 'moved/steady', 'newer');
  for (let i = 0; i < 2; i++) {
    await each((host, way) => assertPulls(host, way, tag('steady').ref, newer.digest));
  }
  t.diagnostic('kept up with');

  await moody.slow.feel({ tag: { delayMs: 1_500 } });
  await Promise.all(
    pullers.map(async (host) => {
      const { ref, moved } = tag('slow');
      const pulls = Array.from({ length: AT_ONCE }, () => assertPulls(host, 'cri', ref, moved));
      await Promise.all([...pulls, assertPulls(host, 'ctr', ref, moved)]);
    }),
  );
  t.diagnostic('ten at once');

  for (const [name, kind] of [['cut', 'tag'], ['cut', 'blob'], ['hub', 'tag']] as const) {
    const { ref } = tag(name);
    const { digest } = await pushTag(lab, `moved/${name}`, `before-${kind}`);
    await moody[name].feel({ [kind]: { isSilent: true } });
    await each((host, way) => cutPull(host, way, ref, moody[name], kind));
    await moody[name].feel();
    await each((host, way) => assertPulls(host, way, ref, digest));
    t.diagnostic(`cut at the ${kind} of ${name}`);
  }

  const { digest } = await pushTag(lab, 'moved/cut', 'before-restart');
  await moody.cut.feel({ tag: { isSilent: true } });
  await Promise.all(
    pullers.map(async (host) => {
      const pulling = cutPull(host, 'cri', tag('cut').ref, moody.cut, 'tag', async () => {
        await host.containerd.service.stop('SIGKILL');
      });
      await pulling;
      await host.containerd.restart();
    }),
  );
  await moody.cut.feel();
  await each((host, way) => assertPulls(host, way, tag('cut').ref, digest));
  t.diagnostic('containerd restarted');

  await moody.steady.feel({ tag: { status: 404 } });
  for (let i = 0; i < 3; i++) {
    await each((host, way) => assert.rejects(pullBy(host, way, tag('steady').ref), /not found/i));
  }
  await denied;
  await long;
  await Promise.all(pullers.map(assertNothingTold));
});

async function assertPulls(host: LabHost, way: Way, ref: string, digest: string): Promise<void> {
  await pullBy(host, way, ref, pullOptions(ref));
  const what = `${host.containerd.version} ${way} ${ref}`;
  assert.equal(await digestOfTag(host, ref, namespaceOf(way)), digest, what);
}

/** A pull that is ended when the registry has been asked for something of that kind. */
async function cutPull(
  host: LabHost,
  way: Way,
  ref: string,
  registry: MoodyRegistry,
  kind: Kind,
  end?: () => Promise<void>,
): Promise<void> {
  const asked = async () => {
    const requests = await registry.requests(kind);
    return requests.filter(({ from, userAgent }) => {
      return from === host.address && userAgent.startsWith('containerd/');
    }).length;
  };
  const before = await asked();
  const cutting = new AbortController();
  const killSignal = host.name < 'h3' ? 'SIGKILL' : 'SIGINT';
  const options = { ...pullOptions(ref), signal: cutting.signal, killSignal } as const;
  const pulling = pullBy(host, way, ref, options).then(
    () => assert.fail(`${host.name} ${way} ${ref}: pulled`),
    () => {},
  );
  await waitUntil(`${host.name} ${way} asks for ${kind} of ${ref}`, async () => (await asked()) > before);
  await (end?.() ?? cutting.abort());
  await pulling;
}

/** A pull that takes longer than a minute, and one of the same tag that begins meanwhile. */
async function pullLong(hosts: readonly LabHost[], registry: MoodyRegistry, { ref, moved }: MovedTag) {
  await registry.feel({ blob: { lastsMs: LONG_MS } });
  await Promise.all(
    hosts.map(async (host) => {
      const way = host.name < 'h3' ? 'ctr' : 'cri';
      const first = assertPulls(host, way, ref, moved);
      await sleep(LONG_MS / 2);
      await Promise.all([first, assertPulls(host, 'cri', ref, moved)]);
    }),
  );
}

/** The upstream wants a credential that Spegel does not have, and says what the tag means to who has it. */
async function cutTwice(hosts: readonly LabHost[], registry: MoodyRegistry, { ref, moved }: MovedTag) {
  await registry.feel({ password: USER, blob: { isSilent: true } });
  const cut = (host: LabHost) => cutPull(host, 'cri', ref, registry, 'blob', undefined);
  await Promise.all(hosts.map(cut));
  await sleep(APART_MS);
  await Promise.all(hosts.map(cut));
  await registry.feel({ password: USER });
  await Promise.all(hosts.map((host) => assertPulls(host, 'cri', ref, moved)));
}

async function assertNothingTold(host: LabHost): Promise<void> {
  const lines = (await host.spegel.logs()).filter(({ msg }) => msg === WARNING);
  assert.deepEqual(lines, [], host.name);
  assert.equal(await host.spegel.metric('spegel_upstream_failures_total'), 0, host.name);
}
