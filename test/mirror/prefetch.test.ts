/** What a manifest names is looked for before containerd asks for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../lib/oci/digest.ts';
import { follow, get, grow, startInflightNode, startLeader } from './inflight-support.ts';
import { assertSame, blob, blobPath, manifestOf, manifestPath, startNode } from './support.ts';

const LAYERS = [blob(20).bytes, blob(30).bytes, blob(40).bytes];
const CHILDREN = LAYERS.map(digestOf);
const MANIFEST = manifestOf(LAYERS);
const SIZE = 200_000;

test('the children of a manifest are looked for when it is served, from the store or a peer', async (t) => {
  for (const where of ['store', 'peer']) {
    const node = await startNode((stop) => t.after(stop));
    const provider = await startNode((stop) => t.after(stop));
    node.router.candidates = [provider.candidate];
    const digest = (where === 'store' ? node : provider).store.add(MANIFEST);
    assertSame((await get(`${node.url}${manifestPath(digest)}`)).bytes, MANIFEST);
    assert.deepEqual(node.router.prefetched, [CHILDREN], where);
  }
});

test('those of a manifest from the upstream are, before the first of them is', async (t) => {
  const node = await startInflightNode((stop) => t.after(stop));
  node.tracker.answer = () => ({ role: 'lead' });
  const digest = digestOf(MANIFEST);
  assert.equal((await get(`${node.url}${manifestPath(digest)}`)).status, 404);
  node.store.add(MANIFEST);
  assert.deepEqual(node.router.prefetched, []);
  const [config = ''] = CHILDREN;
  assert.equal((await get(`${node.url}${blobPath(config)}`)).status, 404);
  assert.deepEqual(node.router.prefetched, [CHILDREN]);
  assert.deepEqual(
    node.tracker.joins.map((join) => join.digest),
    [digest, config],
    'nothing is claimed',
  );
});

test('not so the images of an index, nor what a peer asks for', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  const manifests = [{ digest: digestOf(MANIFEST), size: MANIFEST.byteLength }];
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
  node.store.add(MANIFEST);
  const path = manifestPath(node.store.add(index));
  assertSame((await get(`${node.url}${path}`)).bytes, index);
  const asPeer = { 'X-Spegel-Mirrored': 'true' };
  const own = `${node.url}${manifestPath(digestOf(MANIFEST))}`;
  assertSame((await get(own, asPeer)).bytes, MANIFEST);
  assert.deepEqual(node.router.prefetched, []);
});

test('a remembered miss counts for a host that is told to lead, and for no other', async (t) => {
  const { digest } = blob(SIZE);
  const dead = { peerId: 'dead', addresses: ['127.0.0.1:1'] };
  for (const [role, took] of [
    ['lead', [true]],
    ['plain', [false, false]],
    ['follow', [false]],
  ] as const) {
    const node = await startInflightNode((stop) => t.after(stop));
    const answers = { lead: { role: 'lead' }, plain: undefined, follow: follow([dead]) } as const;
    node.tracker.answer = () => answers[role];
    assert.equal((await get(`${node.url}${blobPath(digest)}`)).status, 404);
    assert.deepEqual(node.router.tookMiss.slice(0, took.length), took, role);
  }
  const untracked = await startNode((stop) => t.after(stop));
  assert.equal((await get(`${untracked.url}${blobPath(digest)}`)).status, 404);
  assert.deepEqual(untracked.router.tookMiss, [false]);
});

test('a busy tracker gets the time of a lookup, also where a miss is remembered', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const leader = await startLeader((stop) => t.after(stop), { digest, size: SIZE });
  await grow(leader.download, bytes);
  const node = await startInflightNode((stop) => t.after(stop), { inflightWaitMs: 2_000 });
  node.router.keepsMiss = true;
  node.router.lingerMs = 150;
  let firstAt: number | undefined;
  node.tracker.answer = () => {
    firstAt ??= performance.now();
    const isBusy = performance.now() - firstAt < 100;
    return isBusy ? undefined : follow([leader.candidate]);
  };
  assertSame((await get(`${node.url}${blobPath(digest)}`)).bytes, bytes);
  assert.equal(node.tracker.joins.length, 2);
});
