/** What is asked for under the wrong path. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../lib/oci/digest.ts';
import {
  assertSame,
  blob,
  blobPath,
  manifestOf,
  manifestPath,
  startNode,
} from '../mirror/support.ts';

const MIRRORED = { 'X-Spegel-Mirrored': 'true' };

async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer());
}

test('a manifest is no blob: containerd would keep it as one of no type', async (t) => {
  const [node, provider] = await Promise.all([1, 2].map(() => startNode((stop) => t.after(stop))));
  assert.ok(node && provider);
  const content = manifestOf([blob(10).bytes]);
  const digest = digestOf(content);
  assert.equal((await fetch(`${node.url}${manifestPath(digest)}`, { method: 'HEAD' })).status, 404);
  // Now a peer has it, and containerd tries the other path after a no of its upstream.
  provider.store.add(content);
  node.router.candidates = [provider.candidate];
  for (const method of ['HEAD', 'GET']) {
    assert.equal((await fetch(`${node.url}${blobPath(digest)}`, { method })).status, 404);
    const there = { method, headers: MIRRORED };
    assert.equal((await fetch(`${provider.url}${blobPath(digest)}`, there)).status, 404);
  }
  assert.equal((await fetch(`${node.url}${manifestPath(digest)}`)).status, 200);
  const config = Buffer.from('{"architecture":"amd64"}');
  const response = await fetch(`${provider.url}${blobPath(provider.store.add(config))}`);
  assertSame(await bytesOf(response), config);
});

test('a manifest that a store took for bytes has the type that it says', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const content = manifestOf([blob(10).bytes]);
  const digest = node.store.add(content);
  const { source } = node.store;
  node.store.source = async (wanted) => {
    const found = await source.call(node.store, wanted);
    return found && { ...found, mediaType: 'application/octet-stream' };
  };
  const response = await fetch(`${node.url}${manifestPath(digest)}`);
  assert.match(response.headers.get('content-type') ?? '', /manifest/);
  assert.equal((await fetch(`${node.url}${blobPath(digest)}`)).status, 404);
});
