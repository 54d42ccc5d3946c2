/** What a pull from a peer needs goes over few connections, and none of it goes wrong by that. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { Agent, get } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MAX_KEPT_PER_PEER } from '../../lib/http/constants.ts';
import { digestOf } from '../../lib/oci/digest.ts';
import { listenLocally } from '../support/listen.ts';
import { TestKeys } from '../support/network-keys.ts';
import {
  assertSame,
  blob,
  blobPath,
  manifestOf,
  manifestPath,
  type Node,
  type NodeOptions,
  startNode,
} from './support.ts';

const MIB = 1024 * 1024;

/** A provider, a node that asks it, and the connections between them. */
async function startPair(t: TestContext, options: NodeOptions = {}, of: NodeOptions = options) {
  const provider = await startNode((stop) => t.after(stop), of);
  const node = await startNode((stop) => t.after(stop), options);
  const between: Socket[] = [];
  const tap = createServer({ allowHalfOpen: true }, (socket) => {
    between.push(socket);
    const onward = connect(provider.server.port, '127.0.0.1');
    socket.on('error', () => onward.destroy());
    onward.on('error', () => socket.destroy());
    socket.pipe(onward).pipe(socket);
  });
  const address = await listenLocally((stop) => t.after(stop), tap);
  node.router.candidates = [{ peerId: provider.peerId, addresses: [address] }];
  return { provider, node, between };
}

async function statusOf(node: Node, path: string, method = 'GET'): Promise<number> {
  const response = await fetch(node.url + path, { method });
  await response.arrayBuffer();
  return response.status;
}

const failures = (node: Node) =>
  [...node.metrics.counts.keys()].filter((key) => /^peerRequests/.test(key) && !/"ok"/.test(key));

test('a manifest, sizes and small and large blobs come over one connection', async (t) => {
  const { provider, node, between } = await startPair(t);
  const layers = Array.from({ length: 20 }, (_, index) => blob(500 + index).bytes);
  layers.push(blob(3 * MIB + 1).bytes);
  const manifest = manifestOf(layers);
  for (const bytes of [manifest, ...layers]) provider.store.add(bytes);
  assert.equal(await statusOf(node, manifestPath(digestOf(manifest))), 200);
  for (const bytes of layers) {
    const path = blobPath(digestOf(bytes));
    assert.equal(await statusOf(node, path, 'HEAD'), 200);
    const response = await fetch(node.url + path);
    assertSame(Buffer.from(await response.arrayBuffer()), bytes);
  }
  // What a peer does not have is a proper answer as well.
  assert.equal(await statusOf(node, blobPath(blob(1).digest)), 404);
  assert.equal(await statusOf(node, blobPath(digestOf(layers[0] ?? manifest))), 200);
  assert.equal(between.length, 1);
});

test('in a closed network each request over a kept connection is signed', async (t) => {
  const keys = new TestKeys(1);
  const { provider, node, between } = await startPair(
    t,
    { networkKeys: keys, mirrorClients: 'any' },
    { networkKeys: new TestKeys(1) },
  );
  const manifest = manifestOf([blob(700).bytes]);
  provider.store.tags.set('example.com/test/app:v1', provider.store.add(manifest));
  const blobs = Array.from({ length: 4 }, () => blob(900));
  for (const { bytes } of blobs) provider.store.add(bytes);
  for (const { digest } of blobs.slice(0, 3))
    assert.equal(await statusOf(node, blobPath(digest)), 200);
  assert.equal(await statusOf(node, manifestPath('v1')), 200, 'a tag, with its proof');
  assert.equal(between.length, 1);
  // The connection was let in; the next request is not.
  keys.set(2);
  assert.equal(await statusOf(node, blobPath(blobs[3]?.digest ?? '')), 404);
  assert.deepEqual(failures(node), ['peerRequests {"result":"refused"}']);
});

test('a peer that starts anew is asked anew, and not blamed', async (t) => {
  const { provider, node, between } = await startPair(t);
  for (const end of ['end', 'resetAndDestroy'] as const) {
    for (let count = 0; count < 5; count += 1) {
      const { bytes, digest } = blob(600);
      provider.store.add(bytes);
      assert.equal(await statusOf(node, blobPath(digest)), 200);
      // The end and the next request meet.
      for (const socket of between) if (!socket.destroyed) socket[end]();
    }
  }
  assert.deepEqual(failures(node), []);
  assert.deepEqual(node.router.suspected, []);
});

test('pulls at once leave few connections behind, and a node that stops closes them', async (t) => {
  const { provider, node, between } = await startPair(t);
  const blobs = Array.from({ length: 12 }, () => blob(2 * MIB));
  for (const { bytes } of blobs) provider.store.add(bytes);
  await Promise.all(blobs.map(({ digest }) => statusOf(node, blobPath(digest))));
  const open = () => between.filter((socket) => !socket.readableEnded && !socket.destroyed);
  while (open().length > MAX_KEPT_PER_PEER) await sleep(10);
  const kept = open();
  assert.ok(kept.length > 0);
  await node.mirror.stop();
  await Promise.all(kept.map((socket) => socket.readableEnded || once(socket, 'end')));
});

/** Asks as containerd does; `bytes` hangs up after as many. Resolves with what came. */
function ask(url: string, range: string, agent: Agent, bytes = Number.POSITIVE_INFINITY) {
  return new Promise<Buffer>((resolve, reject) => {
    const request = get(url, { agent, headers: { Range: range } }, async (answer) => {
      const pieces: Buffer[] = [];
      let count = 0;
      try {
        for await (const piece of answer) {
          pieces.push(piece);
          count += piece.length;
          if (count >= bytes) break;
        }
        resolve(Buffer.concat(pieces));
      } catch (error) {
        reject(error);
      }
    });
    request.on('error', reject);
  });
}

async function descriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length;
}

test('many ranges of one blob: right bytes, one connection, no descriptor left', async (t) => {
  const { provider, node, between } = await startPair(t);
  const { bytes, digest } = blob(16 * MIB);
  provider.store.add(bytes);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const url = node.url + blobPath(digest);
  const closed = async (count: number) => {
    for (let index = 0; index < count; index += 1) {
      const start = (index * 977_777) % (15 * MIB);
      const end = start + 1 + ((index * 7_919) % MIB);
      const got = await ask(url, `bytes=${start}-${end - 1}`, agent);
      assertSame(got, bytes.subarray(start, end));
    }
  };
  const open = async (count: number) => {
    for (let index = 0; index < count; index += 1) {
      const got = await ask(url, `bytes=${index}-`, agent, 2 * MIB);
      assertSame(got, bytes.subarray(index, index + got.length));
    }
  };
  await closed(5);
  await open(2);
  while (provider.store.open > 0) await sleep(10);
  const before = await descriptors();
  between.length = 0;
  await closed(300);
  // The one that was in use when the client hung up is lost.
  assert.ok(between.length <= 1, `${between.length} connections`);
  await open(50);
  while (provider.store.open > 0) await sleep(10);
  await sleep(100);
  const after = await descriptors();
  assert.ok(after <= before + 4, `${before} descriptors, then ${after}`);
  assert.deepEqual(failures(node), []);
});
