/**
 * Hosts and trackers die while all pull: the others complete, and the upstream sends little more.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, untilSending } from '../../../lab/fleet/fleet.ts';
import {
  countCopies,
  endOf,
  type FreshImage,
  type HostPull,
  prepareFreshImage,
  SHARED_CORES_FLAGS,
  startPulls,
} from '../../../lab/fleet/inflight-pulls.ts';
import { Lab, type LabHost, labMissing } from '../../../lab/fleet/lab.ts';
import { MIB } from '../../../lab/images/images.ts';
import {
  assertShared,
  bytesHere,
  leadersOf,
  sumOf,
  trackerOf,
  untilEachHas,
  untilLed,
} from '../../support/inflight-watch.ts';

const skip = await labMissing();
const HOSTS = 5;
const LAYER_MIB = 20;
/** 6.25 MB/s: one copy takes 3.4 s. */
const UPSTREAM_MBIT = 50;
const LINKS = { links: '100mbit', upstream: `${UPSTREAM_MBIT}mbit` };
const PULL_TIMEOUT_MS = 60_000;
/** What a busy machine may add to any pull. */
const SLACK_MS = 20_000;

const FAULTS: Record<string, (host: LabHost) => Promise<unknown>> = {
  killed: (host) => {
    host.containerd.service.kill('SIGKILL');
    return host.spegel.kill();
  },
  unplugged: (host) => host.net.unplug(),
};

async function fleetOf(t: Parameters<typeof Lab.create>[1]) {
  const lab = await Lab.create({ hosts: HOSTS, spegel: { flags: SHARED_CORES_FLAGS } }, t);
  const fresh = await prepareFreshImage(lab, LINKS, { layers: 1, layerMiB: LAYER_MIB });
  const [layer = ''] = fresh.layers;
  return { lab, fresh, layer };
}

/**
 * They all have the image, at no more than this many copies, and no later than if each had gone
 * upstream.
 */
async function assertOthers(
  t: { diagnostic(message: string): void },
  pulls: readonly HostPull[],
  fresh: FreshImage,
  copies: () => Promise<number>,
  mostCopies: number,
): Promise<void> {
  const end = await endOf(pulls);
  const sent = await copies();
  t.diagnostic(`copies ${sent.toFixed(2)}, ms ${end.tookMs.map((ms) => ms?.toFixed())}`);
  const hosts = pulls.map(({ host }) => host);
  await assertShared(hosts, fresh, { ...end, copies: sent }, mostCopies);
  const withoutSharingMs = (HOSTS * bytesOf(fresh.image) * 8) / (UPSTREAM_MBIT * 1000);
  for (const ms of end.tookMs) assert.ok((ms ?? Infinity) < withoutSharingMs + SLACK_MS);
}

for (const [fault, strike] of Object.entries(FAULTS)) {
  test(`the leader is ${fault} half-way: the others go on with what they have`, {
    skip,
  }, async (t) => {
    const { lab, fresh, layer } = await fleetOf(t);
    const copies = await countCopies(lab, fresh.image);
    const pulls = startPulls(lab, fresh.reference, { timeoutMs: PULL_TIMEOUT_MS });
    const leader = await untilLed(lab.hosts, layer);
    const others = pulls.filter(({ host }) => host !== leader);
    const hosts = others.map(({ host }) => host);
    await untilEachHas(hosts, layer, (LAYER_MIB * MIB) / 3);
    await strike(leader);
    pulls.find(({ host }) => host === leader)?.abandon();
    assert.ok((await bytesHere(leader, layer)) < LAYER_MIB * MIB, 'it was killed too late');

    // The upstream had sent a half; the rest comes once more, and what was under way to the dead
    // one is lost.
    await assertOthers(t, others, fresh, copies, 2.2);
    assert.notEqual((await leadersOf(hosts, layer)).length, 0, 'another had to lead');
  });

  test(`the leader, which is the tracker as well, is ${fault} half-way: the next tracker knows the state`, {
    skip,
  }, async (t) => {
    const { lab, fresh, layer } = await fleetOf(t);
    const leader = await trackerOf(lab.hosts, layer);
    const hosts = lab.hosts.filter((host) => host !== leader);
    const copies = await countCopies(lab, fresh.image);
    const options = { timeoutMs: PULL_TIMEOUT_MS };
    const [first] = startPulls(lab, fresh.reference, { ...options, hosts: [leader] });
    assert.equal(await untilLed(lab.hosts, layer), leader);
    const others = startPulls(lab, fresh.reference, { ...options, hosts });
    await untilEachHas(hosts, layer, (LAYER_MIB * MIB) / 3);
    await strike(leader);
    first?.abandon();
    assert.ok((await bytesHere(leader, layer)) < LAYER_MIB * MIB, 'it was killed too late');

    await assertOthers(t, others, fresh, copies, 2.2);
  });

  test(`a host in the middle is ${fault} half-way: those behind it have another source`, {
    skip,
  }, async (t) => {
    const { lab, fresh, layer } = await fleetOf(t);
    const copies = await countCopies(lab, fresh.image);
    const pulls = startPulls(lab, fresh.reference, { timeoutMs: PULL_TIMEOUT_MS });
    const leader = await untilLed(lab.hosts, layer);
    const followers = lab.hosts.filter((host) => host !== leader);
    const before = await Promise.all(followers.map((host) => host.net.bytesSent()));
    const middle = await untilSending(followers, before, 6 * MIB);
    await strike(middle);
    pulls.find(({ host }) => host === middle)?.abandon();
    assert.ok((await bytesHere(middle, layer)) < LAYER_MIB * MIB, 'it was killed too late');

    const others = pulls.filter(({ host }) => host !== middle);
    await assertOthers(t, others, fresh, copies, 2.2);
    const hosts = others.map(({ host }) => host);
    assert.ok((await sumOf(hosts, 'spegel_inflight_reassignments_total')) >= 1);
  });
}

test('the tracker is frozen before all pull: the next closest takes its place', {
  skip,
}, async (t) => {
  const { lab, fresh, layer } = await fleetOf(t);
  const tracker = await trackerOf(lab.hosts, layer);
  const hosts = lab.hosts.filter((host) => host !== tracker);
  const copies = await countCopies(lab, fresh.image);
  tracker.spegel.service.freeze();
  const pulls = startPulls(lab, fresh.reference, { hosts, timeoutMs: PULL_TIMEOUT_MS });

  await assertOthers(t, pulls, fresh, copies, 2.2);
});

test('the tracker is frozen while all pull: nobody notices, and its own host completes after', {
  skip,
}, async (t) => {
  const { lab, fresh, layer } = await fleetOf(t);
  const tracker = await trackerOf(lab.hosts, layer);
  const others = lab.hosts.filter((host) => host !== tracker);
  const copies = await countCopies(lab, fresh.image);
  const pulls = startPulls(lab, fresh.reference, { hosts: others, timeoutMs: PULL_TIMEOUT_MS });
  const leader = await untilLed(others, layer);
  const [late] = startPulls(lab, fresh.reference, { hosts: [tracker], timeoutMs: PULL_TIMEOUT_MS });
  await untilEachHas(lab.hosts, layer, (LAYER_MIB * MIB) / 4);
  tracker.spegel.service.freeze();
  assert.ok((await bytesHere(leader, layer)) < LAYER_MIB * MIB, 'it was frozen too late');

  await assertOthers(t, pulls, fresh, copies, 2.2);
  tracker.spegel.service.thaw();
  assert.equal(typeof (await late?.ended), 'number', 'the thawed host completes as well');
});

test('every Spegel is killed while all pull and started again: all complete', {
  skip,
}, async (t) => {
  const { lab, fresh, layer } = await fleetOf(t);
  const copies = await countCopies(lab, fresh.image);
  const pulls = startPulls(lab, fresh.reference, { timeoutMs: PULL_TIMEOUT_MS });
  const leader = await untilLed(lab.hosts, layer);
  await untilEachHas(lab.hosts, layer, (LAYER_MIB * MIB) / 4);
  await Promise.all(lab.hosts.map((host) => host.spegel.kill()));
  assert.ok((await bytesHere(leader, layer)) < LAYER_MIB * MIB, 'they were killed too late');
  await lab.startSpegel({ flags: SHARED_CORES_FLAGS });

  await assertOthers(t, pulls, fresh, copies, HOSTS);
});
