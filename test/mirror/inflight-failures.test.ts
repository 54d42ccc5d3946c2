/**
 * Content that a peer is still getting itself, when that comes to nothing: another source, or the
 * upstream.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { follow, get, grow, startInflightNode, startLeader } from './inflight-support.ts';
import { goodHead, rangeStart, serve, startPeer } from './raw-peer.ts';
import { AS_CONTAINERD, assertSame, blob, blobPath } from './support.ts';

const MIB = 1024 * 1024;
const SIZE = 3 * MIB + 17;
const PART = MIB + 5;

/** Head of a peer that is still getting it. */
function growingHead(size: number, start = 0): string {
  return goodHead(size, start).replace('\r\n', '\r\nX-Spegel-Available: 1\r\n');
}

/** Answers GET with the first `count` bytes and then `act`, HEAD with `onHead`. */
function growsTo(bytes: Buffer, count: number, act: (socket: Socket) => void, onHead = act) {
  return (socket: Socket, head: string) => {
    if (head.startsWith('HEAD')) return onHead(socket);
    const start = rangeStart(head);
    socket.write(growingHead(bytes.byteLength, start));
    socket.write(bytes.subarray(start, count), () => setTimeout(act, 20, socket));
  };
}

const freeze = () => {};
const answerHead = (socket: Socket) => socket.end(growingHead(SIZE));

test('a source that stalls in the middle is replaced at its byte', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const [stalling, second] = await Promise.all([
    startLeader((stop) => t.after(stop), { digest, size: SIZE }),
    startLeader((stop) => t.after(stop), { digest, size: SIZE }),
  ]);
  await grow(stalling.download, bytes, { until: PART });
  await grow(second.download, bytes);
  const node = await startInflightNode((stop) => t.after(stop));
  node.tracker.answer = ({ failed }) =>
    follow([failed.length === 0 ? stalling.candidate : second.candidate]);
  const { bytes: got, ms } = await get(`${node.url}${blobPath(digest)}`);
  assertSame(got, bytes);
  assert.ok(ms > 700 && ms < 1_600, `${ms} ms`);
  const [, asked, ...others] = node.tracker.joins;
  assert.deepEqual([asked?.have, asked?.failed, others], [PART, [stalling.peerId], []]);
  assert.deepEqual(node.tracker.sources, [stalling.peerId, second.peerId]);
  assert.equal(node.metrics.counts.get('inflightReassignments {"reason":"stalled"}'), 1);
  assert.equal(stalling.download.readers, 0);
  // It lives, so it is asked for another digest at once.
  const other = blob(2 * MIB);
  stalling.store.add(other.bytes);
  node.tracker.names([stalling.candidate], true);
  assertSame((await get(`${node.url}${blobPath(other.digest)}`)).bytes, other.bytes);
});

test('a source that is held up is left for a better one, and not blamed', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const [slow, better] = await Promise.all([
    startLeader((stop) => t.after(stop), { digest, size: SIZE }),
    startLeader((stop) => t.after(stop), { digest, size: SIZE }),
  ]);
  await grow(slow.download, bytes, { until: PART });
  await grow(better.download, bytes);
  const node = await startInflightNode((stop) => t.after(stop));
  const named = [slow.candidate, better.candidate];
  node.tracker.answer = () => follow(named.splice(0, 1));
  const getting = get(`${node.url}${blobPath(digest)}`);
  await delay(100);
  node.tracker.heldUp = true;
  slow.download.append(bytes.subarray(PART, PART + 10));
  assertSame((await getting).bytes, bytes);
  const [, asked] = node.tracker.joins;
  assert.deepEqual(asked?.failed, []);
  assert.ok((asked?.have ?? 0) >= PART);
  assert.deepEqual(node.tracker.sources, [slow.peerId, better.peerId]);
  assert.equal(node.metrics.counts.get('inflightReassignments {"reason":"better"}'), 1);
  assert.equal(slow.download.readers, 0);
});

test('a better source that does not answer changes nothing', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  await grow(leader.download, bytes, { until: PART });
  const dead = { peerId: 'dead', addresses: ['127.0.0.1:1'] };
  const node = await startInflightNode((stop) => t.after(stop));
  const named = [leader.candidate, dead];
  node.tracker.answer = () => follow(named.splice(0, 1));
  const getting = get(`${node.url}${blobPath(digest)}`);
  await delay(100);
  node.tracker.heldUp = true;
  leader.download.append(bytes.subarray(PART, PART + 10));
  await delay(50);
  await grow(leader.download, bytes);
  assertSame((await getting).bytes, bytes);
  assert.equal(node.tracker.joins.length, 2);
  assert.ok(node.tracker.sources.every((peerId) => peerId === leader.peerId));
});

test('a host that is to lead in mid-body ends it cleanly, and containerd goes on upstream', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  await grow(leader.download, bytes, { until: PART });
  const node = await startInflightNode((stop) => t.after(stop));
  node.tracker.names([leader.candidate]);
  const asking = get(`${node.url}${blobPath(digest)}`);
  while (node.tracker.sources.length === 0) await delay(5);
  leader.download.vanish();
  const { bytes: got, isCut, ms } = await asking;
  assert.equal(isCut, true);
  // What the leader had not read yet when it went, is gone as well.
  assert.ok(got.byteLength > 0 && got.byteLength <= PART, `${got.byteLength} bytes`);
  assertSame(got, bytes.subarray(0, got.byteLength));
  assert.ok(ms < 700, `${ms} ms: its readers end at once`);
  const headers = { Range: `bytes=${got.byteLength}-` };
  const resumed = await get(`${node.url}${blobPath(digest)}`, headers);
  assert.equal(resumed.status, 404);
  assert.match(resumed.bytes.toString(), /this host gets it from the upstream/);
  const [, inBody, again] = node.tracker.joins;
  assert.deepEqual([inBody?.have, inBody?.failed], [got.byteLength, [leader.peerId]]);
  assert.equal(again?.have, got.byteLength);
  assert.equal(node.tracker.sources.at(-1), undefined);
  // What it has got is there for its followers meanwhile.
  const copy = node.inflight.begin(digest, SIZE);
  copy.append(bytes);
  const child = await startInflightNode((stop) => t.after(stop));
  child.tracker.names([node.candidate]);
  assertSame((await get(`${child.url}${blobPath(digest)}`)).bytes, bytes);
});

for (const [name, onHead, kind, mostMs] of [
  ['a source that freezes is left when it does not even answer', freeze, 'silent', 1_600],
  ['a source that only says that it lives is left after the wait', answerHead, 'stalled', 2_600],
  [
    'a source that lives and has lost the content is left at once',
    (socket: Socket) => socket.end('HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n'),
    'stalled',
    1_200,
  ],
] as const) {
  test(name, async (t) => {
    const { bytes, digest } = blob(SIZE);
    const bad = await startPeer((stop) => t.after(stop), growsTo(bytes, PART, freeze, onHead));
    const good = await startPeer((stop) => t.after(stop), serve(bytes));
    const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 1_500 });
    node.tracker.names([bad, good]);
    const { bytes: got, ms } = await get(`${node.url}${blobPath(digest)}`);
    assertSame(got, bytes);
    assert.ok(ms > 750 && ms < mostMs, `${ms} ms`);
    assert.equal(node.metrics.counts.get(`handovers {"reason":"${kind}"}`), 1);
    if (name.includes('only says')) assert.ok(ms > 1_600, `${ms} ms`);
    assert.deepEqual(node.tracker.silent, kind === 'silent' ? [bad.peerId] : [], 'as a tracker');
    // A dead one is not asked for another digest for a while, one that lives is.
    const before = bad.requests.length;
    node.tracker.names([bad]);
    await get(`${node.url}${blobPath(blob(1).digest)}`);
    assert.equal(bad.requests.length > before, kind === 'stalled');
  });
}

test('an in-flight source that ends its answers is no liar, one that has the whole content is', async (t) => {
  for (const [head, isBarred] of [
    [growingHead, false],
    [goodHead, true],
  ] as const) {
    const { bytes, digest } = blob(SIZE);
    const bad = await startPeer(
      (stop) => t.after(stop),
      (socket, request) => {
        const start = rangeStart(request);
        socket.write(head(SIZE, start));
        socket.end(bytes.subarray(start, PART));
      },
    );
    const node = await startInflightNode((stop) => t.after(stop));
    node.tracker.names([bad, await startPeer((stop) => t.after(stop), serve(bytes))]);
    assertSame((await get(`${node.url}${blobPath(digest)}`)).bytes, bytes);
    const before = bad.requests.length;
    node.tracker.names([bad]);
    await get(`${node.url}${blobPath(blob(1).digest)}`);
    assert.equal(bad.requests.length === before, isBarred);
  }
});

test('a source that is dead before its first byte costs little', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const dying: ((socket: Socket) => void)[] = [
    (socket) => socket.resetAndDestroy(),
    (socket) => socket.end(growingHead(SIZE)),
    (socket) => socket.end('HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n'),
  ];
  const peers = await Promise.all(dying.map((act) => startPeer((stop) => t.after(stop), act)));
  const good = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  await grow(good.download, bytes);
  const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 2_000 });
  for (const peer of peers) {
    node.tracker.names([peer, good.candidate]);
    const { bytes: got, headMs } = await get(`${node.url}${blobPath(digest)}`);
    assertSame(got, bytes);
    assert.ok(headMs < 500, `${headMs} ms`);
  }
  // One that is silent from the start is given up, and the tracker is asked for another, within the
  // wait.
  const frozen = await startPeer((stop) => t.after(stop), freeze);
  node.tracker.answer = ({ failed }) => follow([failed.length === 0 ? frozen : good.candidate]);
  const { bytes: got, headMs } = await get(`${node.url}${blobPath(digest)}`);
  assertSame(got, bytes);
  assert.ok(headMs < 1_200, `${headMs} ms`);
  assert.deepEqual(node.tracker.joins.at(-1)?.failed, [frozen.peerId]);
});

test('wrong bytes: a small blob is refused, of a large one containerd finds out', async (t) => {
  for (const size of [1_000, SIZE]) {
    const { bytes, digest } = blob(size);
    const leader = await startLeader((stop) => t.after(stop), { digest, size });
    leader.download.append(blob(size).bytes.subarray(0, size - 1));
    const good = await startPeer((stop) => t.after(stop), serve(bytes));
    const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 2_000 });
    node.tracker.names([leader.candidate, good]);
    const asking = get(`${node.url}${blobPath(digest)}`, AS_CONTAINERD);
    await delay(300);
    leader.download.append(Buffer.from([7]));
    const { bytes: got, isCut } = await asking;
    const isSmall = size === 1_000;
    assert.equal(isCut, false);
    assert.equal(got.equals(bytes), isSmall);
    if (!isSmall) node.judge.tell(digest, 'bad');
    // What it has whole is still taken from it, while there is no upstream to ask instead.
    const other = blob(2 * MIB);
    leader.store.add(other.bytes);
    node.tracker.answer = () => follow([leader.candidate], true);
    assertSame((await get(`${node.url}${blobPath(other.digest)}`)).bytes, other.bytes);
    // What it is getting is not.
    const third = leader.inflight.begin(blob(2 * MIB).digest, 2 * MIB);
    assert.equal((await get(`${leader.url}${blobPath(third.digest)}`)).status, 404);
    node.tracker.names([leader.candidate]);
    assert.equal((await get(`${node.url}${blobPath(third.digest)}`)).status, 404);
  }
});

test('a source whose length is another is not followed', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE + 1 });
  leader.download.append(bytes);
  const good = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  await grow(good.download, bytes);
  const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 2_000 });
  const child = { digest, size: SIZE, mediaType: undefined };
  node.mirror.learn({ mediaType: '', children: [child] } as never);
  node.tracker.names([leader.candidate, good.candidate]);
  const { bytes: got, response } = await get(`${node.url}${blobPath(digest)}`);
  assert.equal(response.headers.get('content-length'), String(SIZE));
  assertSame(got, bytes);
  assert.deepEqual(node.tracker.sources, [good.peerId]);
});
