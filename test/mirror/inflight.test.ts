/** Content that a peer is still getting itself, when all goes well. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { digestOf } from '../../lib/oci/digest.ts';
import { follow, get, grow, startInflightNode, startLeader, store } from './inflight-support.ts';
import { goodHead, serve, startPeer } from './raw-peer.ts';
import { assertSame, blob, blobPath, manifestOf, manifestPath, upstreamThere } from './support.ts';

const MIB = 1024 * 1024;
const SIZE = 3 * MIB + 17;

test('a follower gets a layer while its source is still getting it', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  const node = await startInflightNode((stop) => t.after(stop));
  node.tracker.names([leader.candidate]);
  leader.download.append(bytes.subarray(0, 1_000));
  const response = await fetch(`${node.url}${blobPath(digest)}`);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-length'), String(SIZE));
  const copy = node.inflight.begin(digest, SIZE);
  const stored = store(response, copy);
  for (const until of [1_000, MIB, 2 * MIB]) {
    await grow(leader.download, bytes, { until });
    await delay(50);
    assert.equal(copy.have, until, 'all that is there has come');
  }
  await grow(leader.download, bytes);
  assert.equal(await stored, SIZE);
  const [asked, ...others] = node.tracker.joins;
  assert.deepEqual([asked?.digest, asked?.have, asked?.failed, others], [digest, 0, [], []]);
  assert.deepEqual([asked?.isSmall, asked?.wantedRate], [false, undefined]);
  assert.ok(blobPath(digest).endsWith(`ns=${asked?.registry}`), `${asked?.registry}`);
  assert.deepEqual(node.tracker.sources, [leader.peerId]);
  assert.equal(node.metrics.counts.get('inflightWaits {"result":"served"}'), 1);
  assert.equal(leader.metrics.counts.get('inflightServedBytes {"result":"complete"}'), SIZE);
  assert.equal(leader.metrics.counts.get('inflightLeads {}'), 1);
  assert.equal(leader.download.readers, 0);
});

test('containerd goes on at byte N from a source that has not got that far', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 2_000 });
  node.tracker.answer = () => ({ role: 'lead' });
  assert.equal((await get(`${node.url}${blobPath(digest)}`)).status, 404);
  node.tracker.names([leader.candidate]);
  await grow(leader.download, bytes, { until: MIB });
  const asking = get(`${node.url}${blobPath(digest)}`, { Range: `bytes=${2 * MIB}-` });
  await grow(leader.download, bytes);
  const { status, response, bytes: got } = await asking;
  assert.equal(status, 206);
  const range = `bytes ${2 * MIB}-${SIZE - 1}/${SIZE}`;
  assert.equal(response.headers.get('content-range'), range);
  assertSame(got, bytes.subarray(2 * MIB));
  assert.equal(node.tracker.joins[1]?.have, 2 * MIB);
});

test('a chain of three hosts passes a layer on while it is in flight', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  const middle = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 2_000 });
  const last = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 2_000 });
  middle.tracker.names([leader.candidate]);
  last.tracker.names([middle.candidate]);
  // Asks before the middle's containerd has anything.
  const copy = middle.inflight.begin(digest, SIZE);
  const asked = fetch(`${middle.url}${blobPath(digest)}`);
  const answered = get(`${last.url}${blobPath(digest)}`);
  await grow(leader.download, bytes, { until: MIB });
  const stored = store(await asked, copy);
  await grow(leader.download, bytes);
  assert.equal(await stored, SIZE);
  assertSame((await answered).bytes, bytes);
  assert.deepEqual(last.tracker.sources, [middle.peerId]);
});

test('several follow one source, and one that leaves does not disturb the others', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  leader.download.append(bytes.subarray(0, 100));
  const nodes = await Promise.all([1, 2, 3].map(() => startInflightNode((stop) => t.after(stop))));
  for (const { tracker } of nodes) tracker.names([leader.candidate]);
  const [leaving, ...staying] = await Promise.all(
    nodes.map(({ url }) => fetch(`${url}${blobPath(digest)}`)),
  );
  assert.equal(leader.download.readers, 3);
  await leaving?.body?.cancel();
  const bodies = staying.map((response) => response.arrayBuffer());
  await grow(leader.download, bytes);
  for (const body of bodies) assertSame(Buffer.from(await body), bytes);
  await delay(20);
  assert.equal(leader.download.readers, 0);
});

test('a small layer in flight is read whole before it is answered', async (t) => {
  const { bytes, digest } = blob(10_000);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: bytes.byteLength });
  const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 2_000 });
  node.tracker.names([leader.candidate]);
  leader.download.append(bytes.subarray(0, 5_000));
  const asking = get(`${node.url}${blobPath(digest)}`);
  // Longer than a small blob may take of a peer that has it.
  await delay(700);
  await grow(leader.download, bytes);
  const { bytes: got, headMs } = await asking;
  assertSame(got, bytes);
  assert.ok(headMs >= 700);
});

test('a whole provider that is named first is asked first and alone', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const inflight = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  const whole = await startPeer((stop) => t.after(stop), serve(bytes));
  const node = await startInflightNode((stop) => t.after(stop));
  const sources = [
    { candidate: whole, isWhole: true },
    { candidate: inflight.candidate, isWhole: false },
  ];
  node.tracker.answer = () => ({ role: 'follow', sources, depth: 0 });
  assertSame((await get(`${node.url}${blobPath(digest)}`)).bytes, bytes);
  assert.deepEqual(node.tracker.sources, [whole.peerId]);
  assert.equal(inflight.download.readers, 0);
});

test('a host that leads, or has no tracker, asks for whole content only', async (t) => {
  const { digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  const peer = await startPeer(
    (stop) => t.after(stop),
    (socket) => {
      socket.end('HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n');
    },
  );
  for (const role of ['lead', 'plain']) {
    const node = await startInflightNode((stop) => t.after(stop));
    node.tracker.answer = () => (role === 'lead' ? { role } : undefined);
    // A lookup names one of its followers: the two would wait for each other.
    node.router.candidates = [leader.candidate, peer];
    const { status, ms } = await get(`${node.url}${blobPath(digest)}`);
    assert.equal(status, 404);
    assert.ok(ms < 450, `${ms} ms`);
    assert.deepEqual(node.tracker.sources, [undefined]);
    assert.equal(peer.requests.join().includes('X-Spegel-Inflight'), false);
  }
});

test('a HEAD asks no tracker: no host is to follow one that gets nothing', async (t) => {
  const node = await startInflightNode((stop) => t.after(stop));
  const { digest } = blob(10);
  for (const path of [blobPath(digest), manifestPath(digest)]) {
    assert.equal((await fetch(`${node.url}${path}`, { method: 'HEAD' })).status, 404);
  }
  assert.deepEqual([node.tracker.joins, node.tracker.sources], [[], []]);
});

test("a follower waits for the leader's manifest, and checks it", async (t) => {
  const content = manifestOf([blob(20).bytes, blob(30).bytes]);
  const digest = digestOf(content);
  const path = manifestPath(digest);
  const leader = await startLeader((stop) => t.after(stop), {
    digest,
    size: content.byteLength,
    path,
  });
  const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 2_000 });
  node.tracker.names([leader.candidate]);
  const asking = get(`${node.url}${path}`);
  await delay(600);
  await grow(leader.download, content);
  const { status, response, bytes } = await asking;
  assert.equal(status, 200);
  assertSame(bytes, content);
  assert.equal(response.headers.get('docker-content-digest'), digest);
  assert.match(response.headers.get('content-type') ?? '', /manifest/);
  assert.deepEqual(node.tracker.sources, [leader.peerId]);
});

test('a manifest that comes wrong in flight is refused, its sender is not to blame for it', async (t) => {
  const content = manifestOf([blob(20).bytes]);
  const digest = digestOf(content);
  const path = manifestPath(digest);
  const size = content.byteLength;
  const leader = await startLeader((stop) => t.after(stop), { digest, size, path });
  const wrong = await startPeer(
    (stop) => t.after(stop),
    (socket) => {
      const head = goodHead(size).replace('\r\n', '\r\nX-Spegel-Available: 0\r\n');
      socket.end(Buffer.concat([Buffer.from(head), blob(size).bytes]));
    },
  );
  const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 2_000 });
  node.tracker.names([wrong, leader.candidate]);
  leader.download.append(content);
  assertSame((await get(`${node.url}${path}`)).bytes, content);
  // It is still asked, for what it has whole.
  node.tracker.answer = () => follow([wrong]);
  await get(`${node.url}${manifestPath(blob(1).digest)}`);
  assert.equal(wrong.requests.length, 2);
  assert.equal(wrong.requests[1]?.includes('X-Spegel-Inflight'), false);
});

test('a client that goes away while its host waits leaves nothing behind', async (t) => {
  const { digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 4_000 });
  node.tracker.names([leader.candidate]);
  const gone = new AbortController();
  const asking = fetch(`${node.url}${blobPath(digest)}`, { signal: gone.signal });
  while (leader.download.readers === 0) await delay(5);
  gone.abort();
  await assert.rejects(asking);
  await delay(50);
  assert.equal(leader.download.readers, 0);
  // It is not told of as one that gets the layer from the upstream.
  assert.deepEqual(node.tracker.sources, []);
});

test('tags are resolved as before', async (t) => {
  const node = await startInflightNode((stop) => t.after(stop), { upstream: upstreamThere });
  assert.equal((await get(`${node.url}${manifestPath('latest')}`)).status, 404);
  assert.deepEqual(node.tracker.joins, []);
});
