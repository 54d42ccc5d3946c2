/**
 * What clients on other hosts get is not this host's: nothing is told, believed, mixed or thrown
 * away for it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { get, grow, startInflightNode } from '../mirror/inflight-support.ts';
import {
  AS_CONTAINERD,
  assertSame,
  blob,
  blobPath,
  manifestOf,
  manifestPath,
  startNode,
} from '../mirror/support.ts';
import { hostOrNot, messageOf, startForeign } from './clients-support.ts';

const MIB = 1024 * 1024;
const AS_PEER = { 'X-Spegel-Mirrored': 'true', 'X-Spegel-Inflight': 'true' };

test('what a client elsewhere gets is not this host’s: it asks no tracker, and no peer is sent here', async (t) => {
  const own = hostOrNot();
  const node = await startInflightNode((stop) => t.after(stop), { own });
  node.tracker.answer = () => ({ role: 'lead' });
  const { bytes, digest } = blob(MIB);
  const manifest = manifestOf([bytes]);
  const manifestDigest = node.store.add(manifest);
  node.store.content.clear();
  assert.equal((await fetch(node.url + manifestPath(manifestDigest))).status, 404);
  assert.equal((await fetch(node.url + blobPath(digest))).status, 404);
  assert.deepEqual(node.tracker.joins, []);
  for (const [path, size] of [
    [manifestPath(manifestDigest), manifest.byteLength],
    [blobPath(digest), MIB],
  ] as const) {
    node.inflight.begin(path === blobPath(digest) ? digest : manifestDigest, size);
    assert.equal((await fetch(node.url + path, { headers: AS_PEER })).status, 404);
  }
  own.isHost = true;
  assert.equal((await fetch(node.url + blobPath(digest))).status, 404);
  assert.equal(node.tracker.joins.length, 1);
});

test('what is relayed to a client elsewhere is not mixed with what this host is getting', async (t) => {
  const own = hostOrNot();
  own.isHost = true;
  const { bytes, digest } = blob(4 * MIB);
  const provider = await startNode((stop) => t.after(stop));
  const node = await startInflightNode((stop) => t.after(stop), { own });
  node.tracker.answer = () => ({ role: 'lead' });
  assert.equal((await fetch(node.url + blobPath(digest))).status, 404);
  const download = node.inflight.begin(digest, bytes.byteLength);
  const wrong = Buffer.alloc(4 * MIB, 1);
  const following = get(node.url + blobPath(digest), AS_PEER);
  await grow(download, bytes, { until: MIB });
  own.isHost = false;
  // The bytes of a peer that lies, on their way to another client.
  provider.store.content.set(digest, wrong);
  node.router.candidates = [provider.candidate];
  await get(node.url + blobPath(digest));
  await grow(download, bytes);
  assertSame((await following).bytes, bytes);
});

test("bytes that went to a client elsewhere say nothing of this host's downloads", async (t) => {
  const own = hostOrNot();
  const { digest } = blob(1);
  const liar = await startNode((stop) => t.after(stop));
  liar.store.content.set(digest, Buffer.alloc(2 * MIB, 1));
  for (const isHost of [false, true]) {
    own.isHost = isHost;
    const upstream = { known: () => true, answers: async () => true };
    const node = await startForeign(t, { own, upstream });
    node.router.candidates = [liar.candidate];
    await get(node.url + blobPath(digest), AS_CONTAINERD);
    assert.deepEqual([...node.judge.followed], isHost ? [digest] : []);
    node.judge.tell(digest, 'bad');
    const other = blob(2 * MIB);
    liar.store.content.set(other.digest, other.bytes);
    const { status } = await get(node.url + blobPath(other.digest), AS_CONTAINERD);
    assert.equal(status, isHost ? 404 : 200);
  }
});

test('a client elsewhere cannot have this host believe sizes, nor that a layer is a manifest', async (t) => {
  const own = hostOrNot();
  const node = await startForeign(t, { own });
  const provider = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(2 * MIB);
  provider.store.add(bytes);
  const lie = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { digest, size: 5 },
      layers: [{ digest, size: 5 }],
    }),
  );
  node.router.candidates = [provider.candidate];
  for (const store of [provider.store, node.store]) {
    const lying = store.add(lie);
    assertSame((await get(node.url + manifestPath(lying))).bytes, lie);
  }
  assert.equal(node.mirror.knownSize(digest), undefined);
  assert.equal((await fetch(node.url + manifestPath(digest))).status, 404);
  const miss = await fetch(node.url + blobPath(digest));
  assert.match(
    await messageOf(miss),
    /is a manifest, and no peer had it as one/,
    'its own word counts',
  );
  own.isHost = true;
  assertSame((await get(node.url + blobPath(digest))).bytes, bytes);
});
