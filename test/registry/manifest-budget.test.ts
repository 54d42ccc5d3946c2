/** What others than this host have it read into memory. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { MAX_MANIFEST_BYTES } from '../../lib/oci/manifest.ts';
import {
  blob,
  blobPath,
  manifestOf,
  manifestPath,
  type Node,
  startNode,
} from '../mirror/support.ts';
import { startForeign } from './clients-support.ts';

const MIB = 1024 * 1024;

/** A manifest of about the largest size. */
function largeManifest(salt: number): Buffer {
  const small = manifestOf([blob(10).bytes]).toString();
  const padding = `"x${salt}":"${'x'.repeat(MAX_MANIFEST_BYTES - 1000)}"`;
  return Buffer.from(`${small.trimEnd().slice(0, -1)},${padding}}`);
}

/** Asks and does not read. */
function ask(t: TestContext, node: Node, path: string, headers = ''): Socket {
  const [host = '', port] = node.address.split(':');
  const socket = connect({ host, port: Number(port) });
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${node.address}\r\n${headers}\r\n`);
  return socket.pause();
}

const MIRRORED = 'X-Spegel-Mirrored: true\r\n';

test('other hosts that do not read hold no more than the budget, and this host is answered', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const digest = node.store.add(largeManifest(1));
  const before = process.memoryUsage().arrayBuffers;
  const sockets = Array.from({ length: 100 }, () => ask(t, node, manifestPath(digest), MIRRORED));
  await delay(1500);
  const held = process.memoryUsage().arrayBuffers - before;
  assert.ok(held < 24 * MIB, `${held} bytes`);
  const peer = await fetch(`${node.url}${manifestPath(digest)}`, {
    headers: { 'X-Spegel-Mirrored': 'true' },
  });
  assert.equal(peer.status, 404, 'one more of the same address');
  const own = await fetch(`${node.url}${manifestPath(digest)}`);
  assert.equal(own.status, 200);
  await own.arrayBuffer();
  for (const socket of sockets) socket.destroy();
  for (let tries = 0; ; tries += 1) {
    const again = await fetch(`${node.url}${manifestPath(digest)}`, {
      headers: { 'X-Spegel-Mirrored': 'true' },
    });
    await again.arrayBuffer();
    if (again.status === 200) break;
    assert.ok(tries < 100, 'the budget comes back with the connections');
    await delay(50);
  }
});

test('many small manifests at once are no matter', async (t) => {
  const node = await startForeign(t);
  const digest = node.store.add(manifestOf([blob(10).bytes]));
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => fetch(`${node.url}${manifestPath(digest)}`)),
  );
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  for (const answer of answers) await answer.arrayBuffer();
});

test('a layer that is asked for as a manifest is not read, and stays a layer', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(3 * MIB);
  node.store.add(bytes);
  let largest = 0;
  const { source } = node.store;
  node.store.source = async (wanted) => {
    const found = await source.call(node.store, wanted);
    if (found === undefined) return undefined;
    const open: typeof found.open = async (signal) => {
      const reader = await found.open(signal);
      const read: typeof reader.read = (buffer, position, way) => {
        largest = Math.max(largest, buffer.byteLength);
        return reader.read(buffer, position, way);
      };
      return { read, close: () => reader.close() };
    };
    return { ...found, open };
  };
  assert.equal((await fetch(`${node.url}${manifestPath(digest)}`)).status, 404);
  assert.equal(largest, 1, 'its first byte tells');
  const layer = await fetch(`${node.url}${blobPath(digest)}`);
  assert.equal((await layer.arrayBuffer()).byteLength, 3 * MIB);
});
