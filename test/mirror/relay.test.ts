import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { goodHead, startPeer } from './raw-peer.ts';
import { assertSame, blob, blobPath, startNode } from './support.ts';

const MIB = 1024 * 1024;

test('a blob that only a peer has is relayed whole, and checked', async (t) => {
  const provider = await startNode((stop) => t.after(stop));
  const node = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(5 * MIB + 17);
  provider.store.add(bytes);
  node.router.candidates = [provider.candidate];
  const response = await fetch(`${node.url}${blobPath(digest)}`);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-length'), String(bytes.byteLength));
  assert.equal(response.headers.get('docker-content-digest'), digest);
  assertSame(Buffer.from(await response.arrayBuffer()), bytes);
  assert.equal(provider.store.open, 0);
});

test('a small blob that comes too slowly is given up in bounded time', async (t) => {
  const { bytes, digest } = blob(100_000);
  const node = await startNode((stop) => t.after(stop));
  const drip = (socket: Socket) => {
    socket.write(goodHead(bytes.byteLength));
    const timer = setInterval(() => socket.write('a'), 100);
    socket.on('close', () => clearInterval(timer));
  };
  const slow = await startPeer((stop) => t.after(stop), drip);
  node.router.candidates = [slow];
  const startedAt = performance.now();
  assert.equal((await fetch(`${node.url}${blobPath(digest)}`)).status, 404);
  assert.ok(performance.now() - startedAt < 4_000);
  // It is left out from now on.
  const again = performance.now();
  assert.equal((await fetch(`${node.url}${blobPath(digest)}`)).status, 404);
  assert.ok(performance.now() - again < 1_000);
});
