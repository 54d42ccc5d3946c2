/**
 * The upstream fails one host, or all of them, while all pull: the hosts that it answers complete,
 * the others end as they end without Spegel.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeHostsToml } from '../../../lab/containerd/hosts-toml.ts';
import { assertHolds, bytesOf } from '../../../lab/fleet/fleet.ts';
import {
  countCopies,
  endOf,
  type FreshImage,
  freshImage,
  prepareFreshImage,
  SHARED_CORES_FLAGS,
  startPulls,
} from '../../../lab/fleet/inflight-pulls.ts';
import { Lab, type LabHost, labMissing } from '../../../lab/fleet/lab.ts';
import { MIB, makeImage, makeIndex } from '../../../lab/images/images.ts';
import { CREDENTIALS, startPrivateRegistry } from '../../../lab/registries/private-registry.ts';
import { assertShared, leadersOf, untilEachHas, untilLed } from '../../support/inflight-watch.ts';

const skip = await labMissing();
const HOSTS = 4;
const LAYER_MIB = 16;
/** 6.25 MB/s: one copy takes 2.7 s. */
const UPSTREAM_MBIT = 50;
const LINKS = { links: '100mbit', upstream: `${UPSTREAM_MBIT}mbit` };
const REGISTRY_PORT = 5000;
const timeoutMs = 60_000;
/** What a busy machine may add to any pull. */
const SLACK_MS = 6_000;
/** --inflight-wait's default, and some more for those that are further from the leader. */
const WAIT_MS = 3_000;

const aloneMs = ({ image }: FreshImage) => (bytesOf(image) * 8) / (UPSTREAM_MBIT * 1000);
const rounded = (times: readonly (number | undefined)[]) => times.map((ms) => ms?.toFixed());

async function fleetOf(t: Parameters<typeof Lab.create>[1], make: typeof makeImage = makeImage) {
  const lab = await Lab.create({ hosts: HOSTS, spegel: { flags: SHARED_CORES_FLAGS } }, t);
  const fresh = await prepareFreshImage(lab, LINKS, { layers: 1, layerMiB: LAYER_MIB, make });
  const [layer = ''] = fresh.layers;
  const [first, ...others] = lab.hosts;
  assert.ok(first);
  return { lab, fresh, layer, first, others };
}

/**
 * Gets only what names the layers (of an index): it can then ask for them without asking the
 * upstream first.
 */
async function fetchManifest({ containerd }: LabHost, reference: string): Promise<void> {
  const flags = ['--metadata-only', '--hosts-dir', containerd.hostsDir];
  await containerd.ctr(['content', 'fetch', ...flags, reference]);
}

for (const fate of ['reset', 'drop'] as const) {
  test(`the leader's own way to the upstream is barred (${fate}): another one leads`, {
    skip,
  }, async (t) => {
    const { lab, fresh, layer, first, others } = await fleetOf(t, makeIndex);
    await fetchManifest(first, fresh.byDigest);
    await first.net.bar(lab.upstream.net.address, REGISTRY_PORT, fate);
    const copies = await countCopies(lab, fresh.image);
    const [barred] = startPulls(lab, fresh.byDigest, { hosts: [first], timeoutMs });
    await untilLed([first], layer);

    const end = await endOf(startPulls(lab, fresh.reference, { hosts: others, timeoutMs }));

    const sent = await copies();
    t.diagnostic(`copies ${sent.toFixed(2)}, ms ${rounded(end.tookMs)}`);
    await assertShared(others, fresh, { ...end, copies: sent }, 2.2);
    for (const ms of end.tookMs) assert.ok((ms ?? Infinity) < aloneMs(fresh) + WAIT_MS + SLACK_MS);
    if (fate === 'drop') barred?.abandon(); // containerd waits 30 s for a connection
    assert.ok((await barred?.ended) instanceof Error);
    await first.containerd.fetch(fresh.byDigest, { timeoutMs });
    await assertHolds(first, fresh.image);
  });
}

for (const isKnown of [false, true]) {
  // A first MiB that takes longer than --inflight-wait is another fault.
  const times = isKnown ? 5 : 10;
  const what = isKnown ? 'all know what the upstream gives' : 'nobody led anything lately';
  test(`the leader has a part of the bandwidth to the upstream, ${what}: the others leave it`, {
    skip,
  }, async (t) => {
    const { lab, fresh, layer, first, others } = await fleetOf(t);
    if (isKnown) await leadOneEach(lab, others);
    const [all, one] = [`${UPSTREAM_MBIT}mbit`, `${UPSTREAM_MBIT / times}mbit`];
    await lab.upstream.net.rateTo(first.net, { all, one });
    const copies = await countCopies(lab, fresh.image);
    const [slow] = startPulls(lab, fresh.reference, { hosts: [first], timeoutMs });
    await untilLed([first], layer);

    const end = await endOf(startPulls(lab, fresh.reference, { hosts: others, timeoutMs }));

    const sent = await copies();
    t.diagnostic(`copies ${sent.toFixed(2)}, ms ${rounded(end.tookMs)}`);
    await assertShared(others, fresh, { ...end, copies: sent }, 2.2);
    slow?.abandon();
    assert.ok((await slow?.ended) instanceof Error, 'the slow one was still at it');
    const slowMs = times * aloneMs(fresh);
    for (const ms of end.tookMs) assert.ok((ms ?? Infinity) < slowMs * 0.65, `${ms} of ${slowMs}`);
    if (!isKnown) return;
    const leaving = await Promise.all(others.map((host) => leftForSlowness(host)));
    assert.equal(leaving.filter(Boolean).length, 1, 'one of them takes its place');
  });
}

/** Each of them gets an image of its own, and so knows what the upstream gives. */
async function leadOneEach(lab: Lab, hosts: readonly LabHost[]): Promise<void> {
  for (const [index, host] of hosts.entries()) {
    const { reference } = await freshImage(lab, `led-${index}`, { layers: 1, layerMiB: 8 });
    await host.containerd.fetch(reference, { timeoutMs });
  }
  await lab.upstream.forget();
}

async function leftForSlowness({ spegel }: LabHost): Promise<boolean> {
  return (await spegel.logs()).some(({ msg }) => String(msg).startsWith('the leader is slow'));
}

test('the upstream ends at 30 %: all fail soon, and complete when it is back', {
  skip,
}, async (t) => {
  const { lab, fresh, layer } = await fleetOf(t);
  const pulls = startPulls(lab, fresh.reference, { timeoutMs });
  const leader = await untilLed(lab.hosts, layer);
  await untilEachHas([leader], layer, 0.3 * LAYER_MIB * MIB);
  const stoppedAt = performance.now();
  await lab.upstream.stop();

  const cut = await endOf(pulls);

  const heardMs = performance.now() - stoppedAt;
  t.diagnostic(`all had failed ${heardMs.toFixed()} ms later`);
  assert.equal(cut.errors.length, HOSTS, 'nobody can have all of it');
  assert.ok(heardMs < 20_000, `${heardMs} ms`);
  await lab.upstream.start();
  const copies = await countCopies(lab, fresh.image);
  const end = await endOf(startPulls(lab, fresh.reference, { timeoutMs }));
  const sent = await copies();
  t.diagnostic(`again: copies ${sent.toFixed(2)}, ms ${rounded(end.tookMs)}`);
  await assertShared(lab.hosts, fresh, { ...end, copies: sent }, 1.8);
});

test('the upstream cannot be reached for some seconds: all complete', { skip }, async (t) => {
  const { lab, fresh, layer } = await fleetOf(t);
  const copies = await countCopies(lab, fresh.image);
  const pulls = startPulls(lab, fresh.reference, { timeoutMs });
  const leader = await untilLed(lab.hosts, layer);
  await untilEachHas([leader], layer, 0.3 * LAYER_MIB * MIB);
  await lab.upstream.net.unplug();
  const { promise: later, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, 4_000);
  await later;
  await lab.upstream.net.plug();

  const end = await endOf(pulls);

  const sent = await copies();
  t.diagnostic(`copies ${sent.toFixed(2)}, ms ${rounded(end.tookMs)}`);
  await assertShared(lab.hosts, fresh, { ...end, copies: sent }, HOSTS);
});

for (const by of ['tag', 'digest'] as const) {
  test(`a private upstream, by ${by}: who has credentials completes, whoever is first`, {
    skip,
  }, async (t) => {
    const lab = await Lab.create({ hosts: HOSTS, spegel: { flags: SHARED_CORES_FLAGS } }, t);
    await prepareFreshImage(lab, LINKS, { layers: 1 });
    const upstream = await startPrivateRegistry(lab);
    const { registry } = upstream;
    for (const { containerd } of lab.hosts) await writeHostsToml(containerd.hostsDir, { registry });
    const fresh = await freshImage(lab, 'private', { layers: 2, layerMiB: 6 }, { upstream });
    await upstream.net.rate(LINKS.upstream);
    const [layer = ''] = fresh.layers;
    const [without, with1, with2, alsoWithout] = lab.hosts as [LabHost, LabHost, LabHost, LabHost];
    const reference = by === 'tag' ? fresh.reference : fresh.byDigest;
    const copies = await countCopies({ upstream }, fresh.image);
    const denied = startPulls(lab, reference, { hosts: [without, alsoWithout], timeoutMs });
    const hosts = [with1, with2];
    const end = await endOf(startPulls(lab, reference, { hosts, timeoutMs, user: CREDENTIALS }));

    const sent = await copies();
    const { errors } = await endOf(denied);
    t.diagnostic(`copies ${sent.toFixed(2)}, ms ${rounded(end.tookMs)}; ${errors.length} failed`);
    await assertShared(hosts, fresh, { ...end, copies: sent }, 1.8);
    assert.equal((await leadersOf(hosts, layer)).length > 0, true, 'only they can lead to an end');
    // By digest they may get it: peers ask nobody for credentials.
    if (by === 'tag') assert.equal(errors.length, 2, 'as without Spegel');
    for (const error of errors) assert.match(error, /401 Unauthorized|unauthorized|no basic auth/i);
  });
}
