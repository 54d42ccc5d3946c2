/** How long a peer that may have nothing to send is waited for, and how slow it may be. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { RACE_HEDGE_BOUND_MS } from '../../lib/mirror/constants.ts';
import type { UpstreamCheck } from '../../lib/mirror/mirror.ts';
import { digestOf } from '../../lib/oci/digest.ts';
import { follow, get, grow, startInflightNode, startLeader } from './inflight-support.ts';
import { startPeer } from './raw-peer.ts';
import { assertSame, blob, blobPath, manifestOf, manifestPath } from './support.ts';

const MIB = 1024 * 1024;
const SIZE = 2 * MIB;
const SLACK_MS = 250;
const upstreamKnown: UpstreamCheck = { known: () => true, answers: async () => true };

test('a wait in vain ends in a 404, and there is none for a minute', async (t) => {
  const first = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { ...first, size: SIZE });
  const waitMs = 1_500;
  const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: waitMs });
  node.tracker.answer = () => follow([leader.candidate]);
  const vain = await get(`${node.url}${blobPath(first.digest)}`);
  assert.equal(vain.status, 404);
  // It was named one that follows itself, and tries a second one a little later than the leader's
  // own followers.
  assert.ok(vain.ms > waitMs / 2 && vain.ms < waitMs + 350 + SLACK_MS, `${vain.ms} ms`);
  assert.equal(node.metrics.counts.get('inflightWaits {"result":"vain"}'), 1);
  assert.deepEqual(node.tracker.sources, [undefined]);
  while (leader.download.readers > 0) await delay(5);
  // Nobody waits for the next one, though it is asked.
  const next = await get(`${node.url}${blobPath(first.digest)}`);
  assert.equal(next.status, 404);
  assert.ok(next.ms < 200 + RACE_HEDGE_BOUND_MS + SLACK_MS, `${next.ms} ms`);
  // Its silence was no death: it is followed as soon as it has bytes.
  await grow(leader.download, first.bytes);
  assertSame((await get(`${node.url}${blobPath(first.digest)}`)).bytes, first.bytes);
});

test('a source that is only starved by other downloads is waited for longer, while those flow', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  const settings = { inflightWaitMs: 1_000, starvedWaitMs: 3_000, minSourceRate: 1_000_000 };
  const node = await startInflightNode((stop) => t.after(stop), settings);
  node.tracker.names([leader.candidate]);
  node.tracker.flowing = 2_000_000;
  const asking = get(`${node.url}${blobPath(digest)}`);
  await delay(2_000);
  await grow(leader.download, bytes.subarray(0, MIB));
  await delay(2_000);
  await grow(leader.download, bytes);
  assertSame((await asking).bytes, bytes);
  assert.equal(node.tracker.joins.length, 1);
});

for (const [what, flowing, mostMs] of [
  ['to the end of a longer wait', 2_000_000, 2_000],
  ['no longer than anybody when they come slowly', 500_000, 1_000],
] as const) {
  test(`a source that gives nothing while others flow is waited for ${what}`, async (t) => {
    const { digest } = blob(SIZE);
    const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
    const settings = { inflightWaitMs: 1_000, starvedWaitMs: 2_000, minSourceRate: 1_000_000 };
    const node = await startInflightNode((stop) => t.after(stop), settings);
    node.tracker.names([leader.candidate]);
    node.tracker.flowing = flowing;
    const { status, ms } = await get(`${node.url}${blobPath(digest)}`);
    assert.equal(status, 404);
    assert.ok(ms > mostMs - 500 && ms < mostMs + 500 + SLACK_MS, `${ms} ms`);
  });
}

test('another is asked before the wait is over', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const [silent, good] = await Promise.all([
    startLeader((stop) => t.after(stop), { digest, size: SIZE }),
    startLeader((stop) => t.after(stop), { digest, size: SIZE }),
  ]);
  await grow(good.download, bytes);
  const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 2_000 });
  node.tracker.answer = ({ failed }) =>
    follow([failed.length === 0 ? silent.candidate : good.candidate]);
  const { bytes: got, headMs } = await get(`${node.url}${blobPath(digest)}`);
  assertSame(got, bytes);
  assert.ok(headMs > 1_000 && headMs < 2_000, `${headMs} ms`);
  assert.equal(node.metrics.counts.get('inflightWaits {"result":"vain"}'), undefined);
});

test('refusals of others do not end the wait for a peer that still downloads it', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  const refusing = await Promise.all(
    Array.from({ length: 5 }, () =>
      startPeer(
        (stop) => t.after(stop),
        (socket) => {
          socket.end('HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n');
        },
      ),
    ),
  );
  const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 2_000 });
  node.tracker.names([leader.candidate]);
  node.router.candidates = refusing;
  const asking = get(`${node.url}${blobPath(digest)}`);
  await delay(900);
  await grow(leader.download, bytes);
  assertSame((await asking).bytes, bytes);
  assert.equal(node.tracker.joins.length, 1);
});

test('a manifest that does not come, or is to be led, is a 404', async (t) => {
  const content = manifestOf([blob(1).bytes]);
  const digest = digestOf(content);
  const path = manifestPath(digest);
  const leader = await startLeader((stop) => t.after(stop), {
    digest,
    size: content.byteLength,
    path,
  });
  const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 1_000 });
  node.tracker.names([leader.candidate]);
  const { status, ms } = await get(`${node.url}${path}`);
  assert.equal(status, 404);
  assert.ok(ms > 500 && ms < 1_000 + SLACK_MS, `${ms} ms`);
  assert.deepEqual(node.tracker.sources, [undefined]);
  node.tracker.answer = () => ({ role: 'lead' });
  const led = await get(`${node.url}${path}`);
  assert.equal(led.status, 404);
  assert.match(led.bytes.toString(), /nobody has this manifest yet/);
});

test('a source that makes up its place in the fleet is not waited for any longer', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  leader.download.append(bytes.subarray(0, 10));
  const node = await startInflightNode((stop) => t.after(stop));
  node.tracker.answer = ({ failed }) =>
    failed.length > 0 ? { role: 'lead' } : { ...follow([leader.candidate]), depth: 1e9 };
  const { isCut, ms } = await get(`${node.url}${blobPath(digest)}`);
  assert.equal(isCut, true);
  assert.ok(ms < 300 + 6 * 150 + 600, `${ms} ms`);
});

for (const isThere of [true, false]) {
  test(`a slow source is ${isThere ? 'left' : 'kept'} with the upstream ${isThere ? 'there' : 'away'}`, async (t) => {
    const { bytes, digest } = blob(SIZE);
    const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
    const upstream = isThere ? upstreamKnown : { known: () => false, answers: async () => false };
    const node = await startInflightNode((stop) => t.after(stop), {
      upstream,
      minSourceRate: 1_000_000,
      rateWindowMs: 300,
    });
    node.tracker.names([leader.candidate]);
    leader.download.append(bytes.subarray(0, 1_000));
    const asking = get(`${node.url}${blobPath(digest)}`);
    await grow(leader.download, bytes, { until: 150_000, piece: 5_000, everyMs: 25 });
    await grow(leader.download, bytes);
    const { isCut, bytes: got } = await asking;
    assert.equal(isCut, isThere);
    assertSame(got, bytes.subarray(0, got.byteLength));
    const slow = node.metrics.counts.get('inflightReassignments {"reason":"stalled"}');
    assert.equal(slow, isThere ? 1 : undefined);
  });
}
