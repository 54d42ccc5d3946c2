import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { type Digest, digestOf } from '../../lib/oci/digest.ts';
import {
  MAX_KNOWN_MANIFEST_BYTES,
  MAX_KNOWN_MANIFESTS_BYTES,
} from '../../lib/registry/constants.ts';
import { KnownManifests } from '../../lib/registry/known-manifests.ts';
import {
  assertSame,
  blob,
  blobPath,
  manifestOf,
  manifestPath,
  startNode,
} from '../mirror/support.ts';

function add(known: KnownManifests, size: number): { digest: Digest; content: Buffer } {
  const content = randomBytes(size);
  const digest = digestOf(content);
  known.add(digest, { content, manifest: undefined });
  return { digest, content };
}

const headersOf = ({ headers }: Response) => [...headers].filter(([name]) => name !== 'date');

test('the bytes in memory are bounded, and what was asked for last stays', () => {
  const known = new KnownManifests();
  const asked = add(known, 1_000);
  const others = Array.from({ length: 40 }, () => {
    const { digest } = add(known, MAX_KNOWN_MANIFEST_BYTES);
    assert.equal(known.get(asked.digest)?.content, asked.content);
    return digest;
  });
  const kept = others.filter((digest) => known.get(digest) !== undefined);
  const count = Math.floor((MAX_KNOWN_MANIFESTS_BYTES - 1_000) / MAX_KNOWN_MANIFEST_BYTES);
  assert.deepEqual(kept, others.slice(-count));
});

test('the same manifest counts once, and one that is too large is not kept', () => {
  const known = new KnownManifests();
  const { digest, content } = add(known, MAX_KNOWN_MANIFEST_BYTES);
  for (let count = 0; count < 40; count += 1) known.add(digest, { content, manifest: undefined });
  const large = add(known, MAX_KNOWN_MANIFEST_BYTES + 1);
  const fits = Math.floor(MAX_KNOWN_MANIFESTS_BYTES / MAX_KNOWN_MANIFEST_BYTES) - 1;
  for (let count = 0; count < fits; count += 1) add(known, MAX_KNOWN_MANIFEST_BYTES);
  assert.equal(known.get(digest)?.content, content);
  assert.equal(known.get(large.digest), undefined);
});

test('a manifest is read once, and answered while the store has it', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const content = manifestOf([blob(10).bytes]);
  const digest = node.store.add(content);
  let opened = 0;
  const { source } = node.store;
  node.store.source = async (wanted) => {
    const found = await source.call(node.store, wanted);
    const open = async (signal: AbortSignal) => {
      opened += 1;
      return found?.open(signal) ?? assert.fail();
    };
    return found && { ...found, open };
  };
  const ask = (path: string) => fetch(`${node.url}${path}`);
  const first = await ask(manifestPath(digest));
  assertSame(Buffer.from(await first.arrayBuffer()), content);
  const before = opened;
  assert.ok(before > 0);
  const again = await ask(manifestPath(digest));
  assertSame(Buffer.from(await again.arrayBuffer()), content);
  assert.deepEqual(headersOf(again), headersOf(first));
  assert.equal((await ask(blobPath(digest))).status, 404, 'it is no blob');
  assert.equal(opened, before);
  node.store.content.delete(digest);
  assert.equal((await ask(manifestPath(digest))).status, 404);
  node.store.content.set(digest, content);
  assert.equal((await ask(manifestPath(digest))).status, 200);
});

test('what was answered as a manifest is a blob where the store says so', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const content = manifestOf([blob(10).bytes]);
  const digest = node.store.add(content);
  assert.equal((await fetch(`${node.url}${manifestPath(digest)}`)).status, 200);
  const { source } = node.store;
  node.store.source = async (wanted) => {
    const found = await source.call(node.store, wanted);
    return found && { ...found, mediaType: 'application/vnd.oci.image.layer.v1.tar' };
  };
  assert.equal((await fetch(`${node.url}${manifestPath(digest)}`)).status, 404);
  assert.equal((await fetch(`${node.url}${blobPath(digest)}`)).status, 200);
});
