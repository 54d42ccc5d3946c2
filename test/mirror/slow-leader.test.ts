/** A source that still downloads the content, and gives less than its registry gave lately. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResolvedAnswer } from '../../lib/tracker/tracker-client.ts';
import { follow, get, grow, startInflightNode, startLeader } from './inflight-support.ts';
import { assertSame, blob, blobPath } from './support.ts';

const SIZE = 3 * 1024 * 1024 + 17;
/** By then at 0.2 MB/s the source has been judged. */
const SLOW_BYTES = 400_000;

/** A follower of a leader that is slow for two seconds, in a fleet that knows `usualRate`. */
async function followSlowly(
  t: { after(stop: () => unknown): void },
  answer: (wantedRate: number | undefined, following: ResolvedAnswer) => ResolvedAnswer,
  { usualRate = undefined as number | undefined, ownRate = undefined as number | undefined },
) {
  const { bytes, digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  const upstream = { known: () => true, answers: async () => true };
  const node = await startInflightNode((stop) => t.after(stop), { upstream });
  node.tracker.rate = ownRate;
  const following = { ...follow([leader.candidate]), ...(usualRate && { usualRate }) };
  node.tracker.answer = ({ wantedRate }) => answer(wantedRate, following);
  leader.download.append(bytes.subarray(0, 1_000));
  const asking = get(`${node.url}${blobPath(digest)}`);
  await grow(leader.download, bytes, { until: SLOW_BYTES, piece: 5_000, everyMs: 25 });
  await grow(leader.download, bytes);
  const { isCut, bytes: got } = await asking;
  assertSame(got, bytes.subarray(0, got.byteLength));
  return { node, leader, isCut, got };
}

for (const [who, rates] of [
  ['this host', { ownRate: 10_000_000, usualRate: 1_000 }],
  ['others', { usualRate: 10_000_000 }],
] as const) {
  test(`a host that is told to lead ends the body of a source slower than ${who} had it`, async (t) => {
    const { node, leader, isCut, got } = await followSlowly(
      t,
      (wantedRate, following) => (wantedRate === undefined ? following : { role: 'lead' }),
      rates,
    );
    assert.equal(isCut, true);
    const [, asked, ...others] = node.tracker.joins;
    assert.deepEqual([asked?.wantedRate, asked?.failed, others], [5_000_000, [], []]);
    assert.equal(asked?.have, got.byteLength, 'containerd goes on at that byte');
    assert.deepEqual(node.tracker.sources, [leader.peerId, undefined]);
    assert.equal(node.metrics.counts.get('inflightReassignments {"reason":"slow"}'), 1);
    assert.equal(leader.download.readers, 0);
  });
}

test('a host that is to stay gets all of it from there', async (t) => {
  const { node, leader, isCut } = await followSlowly(t, (_, following) => following, {
    ownRate: 10_000_000,
  });
  assert.equal(isCut, false);
  const asked = node.tracker.joins.filter(({ wantedRate }) => wantedRate !== undefined);
  assert.ok(asked.length > 0 && asked.length <= 4, `${asked.length} times`);
  assert.ok(node.tracker.sources.every((peerId) => peerId === leader.peerId));
});

test('where nobody led lately, a slow source is not slow', async (t) => {
  const { node, isCut } = await followSlowly(t, (_, following) => following, {});
  assert.equal(isCut, false);
  assert.equal(node.tracker.joins.length, 1);
});
