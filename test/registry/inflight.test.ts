/** What a host lets its peers have of content that its containerd is still getting. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { digestOf } from '../../lib/oci/digest.ts';
import { BEGINS_WITHIN_MS } from '../../lib/registry/constants.ts';
import { get, grow, startInflightNode, startLeader } from '../mirror/inflight-support.ts';
import {
  assertSame,
  blob,
  blobPath,
  manifestOf,
  manifestPath,
  startNode,
} from '../mirror/support.ts';

const MIB = 1024 * 1024;
const SIZE = 2 * MIB + 3;
const PEER = { 'X-Spegel-Mirrored': 'true', 'X-Spegel-Inflight': 'true' };

async function growingNode(t: TestContext) {
  const { bytes, digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  return { leader, bytes, digest, url: `${leader.url}${blobPath(digest)}` };
}

test('the head is there at once, the bytes as they come', async (t) => {
  const { leader, bytes, digest, url } = await growingNode(t);
  const startedAt = performance.now();
  const response = await fetch(url, { headers: PEER });
  assert.ok(performance.now() - startedAt < 200);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-length'), String(SIZE));
  assert.equal(response.headers.get('docker-content-digest'), digest);
  assert.equal(response.headers.get('x-spegel-available'), '0');
  assert.equal(response.headers.get('x-spegel-peer'), leader.peerId);
  const body = response.arrayBuffer();
  await grow(leader.download, bytes);
  assertSame(Buffer.from(await body), bytes);
  await delay(10);
  assert.equal(leader.download.readers, 0);
});

test('ranges of what grows: there, not there yet, and beyond the end', async (t) => {
  const { leader, bytes, url } = await growingNode(t);
  await grow(leader.download, bytes, { until: MIB });
  const closed = await get(url, { ...PEER, Range: 'bytes=5-9' });
  assert.equal(closed.status, 206);
  assert.equal(closed.response.headers.get('content-range'), `bytes 5-9/${SIZE}`);
  assertSame(closed.bytes, bytes.subarray(5, 10));
  const ahead = get(url, { ...PEER, Range: `bytes=${MIB + 10}-` });
  const last = get(url, { ...PEER, Range: 'bytes=-3' });
  const beyond = await get(url, { ...PEER, Range: `bytes=${SIZE}-` });
  assert.equal(beyond.status, 416);
  assert.equal(beyond.response.headers.get('content-range'), `bytes */${SIZE}`);
  await grow(leader.download, bytes);
  assertSame((await ahead).bytes, bytes.subarray(MIB + 10));
  assertSame((await last).bytes, bytes.subarray(-3));
});

test('what an earlier life of this host left behind is not for others until it is complete', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const node = await startInflightNode((stop) => t.after(stop));
  const download = node.inflight.begin(digest, SIZE);
  const url = `${node.url}${blobPath(digest)}`;
  download.append(bytes.subarray(0, MIB));
  const resume = { Range: `bytes=${MIB}-` };
  assert.equal((await get(url, resume)).status, 404);
  assert.equal(node.tracker.joins.length, 0, 'nobody is sent here');
  assert.equal((await get(url, PEER)).status, 404);
  // Asked from its beginning it is known, and what goes on from there as well.
  node.tracker.answer = () => ({ role: 'lead' });
  assert.equal((await get(url)).status, 404);
  assert.equal((await get(url, resume)).status, 404);
  assert.deepEqual(
    node.tracker.joins.map(({ have }) => have),
    [0, MIB],
  );
  assert.equal((await fetch(url, { method: 'HEAD', headers: PEER })).status, 200);
});

test('HEAD says how much is there, at once, and 404 when it is gone', async (t) => {
  const { leader, bytes, digest, url } = await growingNode(t);
  const head = async () => {
    const startedAt = performance.now();
    const response = await fetch(url, { method: 'HEAD', headers: PEER });
    assert.ok(performance.now() - startedAt < 200);
    return [response.status, response.headers.get('x-spegel-available')];
  };
  assert.deepEqual(await head(), [200, '0']);
  await grow(leader.download, bytes, { until: 1_000 });
  assert.deepEqual(await head(), [200, '1000']);
  await grow(leader.download, bytes);
  assert.deepEqual(await head(), [200, null], 'all of it is there: silence would be death');
  leader.download.vanish();
  assert.deepEqual(await head(), [404, null]);
  leader.inflight.downloads.delete(digest);
  assert.deepEqual(await head(), [404, null]);
  assert.equal(leader.download.readers, 0);
});

test('only what this containerd asked for, only for peers that ask so, only shared names', async (t) => {
  const { leader, digest, url } = await growingNode(t);
  const old = await get(url, { 'X-Spegel-Mirrored': 'true' });
  assert.equal(old.status, 404);
  // Content of another mirror, or pulled by hand, is private.
  const unasked = leader.inflight.begin(blob(SIZE).digest, SIZE);
  assert.equal((await get(`${leader.url}${blobPath(unasked.digest)}`, PEER)).status, 404);
  const filters = { mirroredRegistries: ['other.example'], registryFilters: [] };
  const filtered = await startInflightNode((stop) => t.after(stop), { filters });
  filtered.inflight.begin(digest, SIZE);
  assert.equal((await get(`${filtered.url}${blobPath(digest)}`)).status, 404);
  assert.equal((await get(`${filtered.url}${blobPath(digest)}`, PEER)).status, 404);
  const off = await startNode((stop) => t.after(stop));
  assert.equal((await get(`${off.url}${blobPath(digest)}`)).status, 404);
  assert.equal((await get(`${off.url}${blobPath(digest)}`, PEER)).status, 404);
});

test('asking with HEAD makes nothing shared, asking for other content neither', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const node = await startInflightNode((stop) => t.after(stop));
  await fetch(`${node.url}${blobPath(digest)}`, { method: 'HEAD' });
  await get(`${node.url}${blobPath(blob(1).digest)}`);
  node.inflight.begin(digest, SIZE).append(bytes);
  assert.equal((await get(`${node.url}${blobPath(digest)}`, PEER)).status, 404);
  await get(`${node.url}${blobPath(digest)}`);
  assertSame((await get(`${node.url}${blobPath(digest)}`, PEER)).bytes, bytes);
});

test('a peer that comes before containerd has begun waits a moment', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const node = await startInflightNode((stop) => t.after(stop));
  assert.equal((await get(`${node.url}${blobPath(digest)}`)).status, 404);
  const asking = get(`${node.url}${blobPath(digest)}`, PEER);
  await delay(200);
  await grow(node.inflight.begin(digest, SIZE), bytes);
  assertSame((await asking).bytes, bytes);
  const never = blob(SIZE);
  await get(`${node.url}${blobPath(never.digest)}`);
  const { status, ms } = await get(`${node.url}${blobPath(never.digest)}`, PEER);
  assert.equal(status, 404);
  assert.ok(ms > 400 && ms < 800, `${ms} ms: less than a peer waits for a head`);
});

test('a peer does not wait for what this host asked for long ago and has lost since', async (t) => {
  const { digest } = blob(SIZE);
  const node = await startInflightNode((stop) => t.after(stop));
  const waits = t.mock.method(node.inflight, 'awaitInflightSource');
  const url = `${node.url}${blobPath(digest)}`;
  assert.equal((await get(url)).status, 404);
  assert.equal((await get(url, PEER)).status, 404);
  assert.equal(waits.mock.callCount(), 1, 'it may begin');
  await delay(BEGINS_WITHIN_MS + 50);
  assert.equal((await get(url, PEER)).status, 404);
  assert.equal(waits.mock.callCount(), 1);
});

test('what vanishes ends its readers cleanly and at once', async (t) => {
  const { leader, bytes, url } = await growingNode(t);
  leader.download.append(bytes.subarray(0, 100));
  const asking = get(url, PEER);
  while (leader.download.readers === 0) await delay(5);
  const startedAt = performance.now();
  leader.download.vanish();
  const { bytes: got, isCut } = await asking;
  assert.ok(performance.now() - startedAt < 200);
  assert.equal(isCut, true);
  assertSame(got, bytes.subarray(0, 100));
  assert.equal(leader.metrics.counts.get('inflightServedBytes {"result":"aborted"}'), 100);
  assert.equal(leader.download.readers, 0);
});

test('a peer that goes away frees what it had', async (t) => {
  const { leader, url } = await growingNode(t);
  const gone = new AbortController();
  const response = await fetch(url, { headers: PEER, signal: gone.signal });
  assert.equal(leader.download.readers, 1);
  gone.abort();
  await response.arrayBuffer().catch(() => {});
  await delay(50);
  assert.equal(leader.download.readers, 0);
});

test('a manifest that grows is sent as it comes; what is in the store comes from there', async (t) => {
  const content = manifestOf([blob(10).bytes]);
  const digest = digestOf(content);
  const path = manifestPath(digest);
  const size = content.byteLength;
  const leader = await startLeader((stop) => t.after(stop), { digest, size, path });
  const asking = get(`${leader.url}${path}`, PEER);
  await delay(50);
  leader.download.append(content);
  assertSame((await asking).bytes, content);
  assert.equal((await get(`${leader.url}${path}`, { 'X-Spegel-Mirrored': 'true' })).status, 404);
  leader.store.add(content);
  const stored = await get(`${leader.url}${path}`, PEER);
  assert.match(stored.response.headers.get('content-type') ?? '', /manifest/);
});
