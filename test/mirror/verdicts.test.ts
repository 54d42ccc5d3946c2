/** Which peers are trusted follows from what containerd made of their bytes. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { UpstreamCheck } from '../../lib/mirror/mirror.ts';
import type { Digest } from '../../lib/oci/digest.ts';
import { type FakePeer, goodHead, rangeStart, serve, startPeer } from './raw-peer.ts';
import {
  AS_CONTAINERD,
  assertSame,
  blob,
  blobPath,
  manifestPath,
  type Node,
  type NodeOptions,
  startNode,
  upstreamThere,
} from './support.ts';

const MIB = 1024 * 1024;
const SIZE = 3 * MIB;
const there: UpstreamCheck = { known: () => true, answers: async () => true };

async function get(node: Node, digest: Digest, headers = {}) {
  const response = await fetch(`${node.url}${blobPath(digest)}`, {
    headers: { ...AS_CONTAINERD, ...headers },
  });
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of response.body ?? []) pieces.push(piece);
  } catch {
    // cut: what came counts
  }
  return { status: response.status, body: Buffer.concat(pieces) };
}

function nodeOf(t: TestContext, options: NodeOptions = {}): Promise<Node> {
  return startNode((stop) => t.after(stop), { upstream: there, ...options });
}

function peer(t: TestContext, answer: Parameters<typeof startPeer>[1], host?: string) {
  return startPeer((stop) => t.after(stop), answer, host);
}

/** Pulls a blob that comes wrong from that peer, and containerd finds out. */
async function fall(node: Node, liar: FakePeer): Promise<void> {
  const { digest } = blob(SIZE);
  node.router.candidates = [liar];
  assert.equal((await get(node, digest)).status, 200);
  assert.ok(node.judge.followed.has(digest));
  node.judge.tell(digest, 'bad');
}

test('bytes that containerd found wrong: their sender is a suspect, whatever its port and name', async (t) => {
  const node = await nodeOf(t);
  const { bytes, digest } = blob(SIZE);
  await fall(node, await peer(t, serve(blob(SIZE).bytes), '127.0.0.2'));
  const ports = [0, 1, 2].map(() => peer(t, serve(bytes), '127.0.0.2'));
  node.router.candidates = await Promise.all(ports);
  assert.equal((await get(node, digest)).status, 404, 'new ports and ids of that address');
  const honest = await peer(t, serve(bytes), '127.0.0.3');
  node.router.candidates = [...(await Promise.all(ports)), honest];
  assertSame((await get(node, digest)).body, bytes);
  const moved = await peer(t, serve(bytes), '127.0.0.4');
  const [first] = await Promise.all(ports);
  node.router.candidates = [{ peerId: first?.peerId ?? '', addresses: [moved.address] }];
  node.judge.tell(digest, 'good');
  assert.equal((await get(node, blob(SIZE).digest)).status, 200, 'not accused by this id');
});

test('a digest that came wrong is left to the upstream, unless that is known to be away', async (t) => {
  for (const [upstream, expected] of [
    [there, 404],
    [{ known: () => undefined, answers: async () => false }, 404],
    [{ known: () => false, answers: async () => false }, 200],
  ] as const) {
    const node = await nodeOf(t, { upstream });
    const { bytes, digest } = blob(SIZE);
    node.router.candidates = [await peer(t, serve(blob(SIZE).bytes), '127.0.0.2')];
    await get(node, digest);
    node.judge.tell(digest, 'bad');
    node.router.candidates = [await peer(t, serve(bytes), '127.0.0.3')];
    assert.equal((await get(node, digest)).status, expected);
  }
});

test('a suspect gives what is checked whole, and more only where no other peer has it', async (t) => {
  let isThere = true;
  const upstream = { known: () => isThere, answers: async () => isThere };
  const node = await nodeOf(t, { upstream });
  const { bytes, digest } = blob(SIZE);
  const small = blob(10_000);
  const answer: Parameters<typeof startPeer>[1] = (socket, head) =>
    serve(head.includes(small.digest) ? small.bytes : bytes)(socket, head);
  const suspect = await peer(t, answer, '127.0.0.2');
  await fall(node, suspect);
  assertSame((await get(node, small.digest)).body, small.bytes);
  assert.equal((await get(node, digest)).status, 404);
  assert.equal((await get(node, digest, { Range: 'bytes=5-' })).status, 404);
  isThere = false;
  assertSame((await get(node, digest)).body, bytes);
});

test('a suspect does not say what a tag means', async (t) => {
  const node = await nodeOf(t);
  const liar = await peer(t, serve(blob(SIZE).bytes), '127.0.0.2');
  await fall(node, liar);
  const asked = liar.requests.length;
  const tagRule = node.url + manifestPath('v1');
  const response = await fetch(tagRule, { headers: AS_CONTAINERD });
  await response.body?.cancel();
  assert.equal(response.status, 404);
  assert.equal(liar.requests.length, asked);
});

test('a peer that gave a prefix is to blame as well', async (t) => {
  const node = await nodeOf(t);
  const { bytes, digest } = blob(SIZE);
  const cutting = await peer(
    t,
    (socket, head) => {
      if (rangeStart(head) > 0) socket.end('HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n');
      else socket.end(Buffer.concat([Buffer.from(goodHead(SIZE)), Buffer.alloc(MIB)]));
    },
    '127.0.0.2',
  );
  node.router.candidates = [cutting];
  const { body } = await get(node, digest);
  assert.equal(body.byteLength, MIB);
  // The upstream gives the rest, and the commit fails.
  assert.equal((await get(node, digest, { Range: `bytes=${MIB}-` })).status, 404);
  node.judge.tell(digest, 'bad');
  const other = blob(SIZE);
  node.router.candidates = [await peer(t, serve(other.bytes), '127.0.0.2')];
  assert.equal((await get(node, other.digest)).status, 404);
  node.router.candidates = [await peer(t, serve(bytes), '127.0.0.3')];
  assert.equal((await get(node, digest)).status, 404, 'for an hour');
});

test('what an earlier life of this host began makes no suspect', async (t) => {
  const node = await nodeOf(t);
  const { bytes, digest } = blob(SIZE);
  node.router.candidates = [await peer(t, serve(bytes), '127.0.0.2')];
  assert.equal((await get(node, digest, { Range: `bytes=${MIB}-` })).status, 206);
  node.judge.tell(digest, 'bad');
  const other = blob(SIZE);
  node.router.candidates = [await peer(t, serve(other.bytes), '127.0.0.2')];
  assertSame((await get(node, other.digest)).body, other.bytes);
});

test('its peer turns out a liar: what else came of it ends, and goes', async (t) => {
  const node = await nodeOf(t);
  const running = blob(SIZE);
  const lie = blob(SIZE);
  const left = blob(SIZE);
  const liar = await peer(
    t,
    (socket, head) => {
      if (head.includes(lie.digest)) return serve(blob(SIZE).bytes)(socket, head);
      socket.write(goodHead(SIZE));
      socket.write(Buffer.alloc(MIB));
      const drip = setInterval(() => socket.write(Buffer.alloc(50_000)), 50);
      return socket.once('close', () => clearInterval(drip));
    },
    '127.0.0.2',
  );
  node.router.candidates = [liar];
  const cancelled = await fetch(node.url + blobPath(left.digest), { headers: AS_CONTAINERD });
  await cancelled.body?.cancel();
  const body = get(node, running.digest);
  await get(node, lie.digest);
  node.judge.tell(lie.digest, 'bad');
  assert.ok((await body).body.byteLength < SIZE);
  assert.deepEqual(node.judge.distrusted, new Set([left.digest, running.digest]));
  node.router.candidates = [await peer(t, serve(running.bytes), '127.0.0.3')];
  for (const { digest } of [left, running])
    assert.equal((await get(node, digest)).status, 404, 'the next begins at the upstream');
});

test('no verdict: a download that ended early, or was right', async (t) => {
  for (const outcome of ['ended', 'good'] as const) {
    const node = await nodeOf(t);
    const { bytes, digest } = blob(SIZE);
    node.router.candidates = [await peer(t, serve(bytes), '127.0.0.2')];
    await get(node, digest);
    node.judge.tell(digest, outcome);
    // Something else went wrong with it later, to which nobody of ours has given anything.
    node.judge.tell(digest, 'bad');
    const other = blob(SIZE);
    node.router.candidates = [await peer(t, serve(other.bytes), '127.0.0.2')];
    assertSame((await get(node, other.digest)).body, other.bytes);
  }
});

test('suspects survive a restart; a file that is none of ours is replaced', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'spegel-suspects-'));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  const path = join(dataDir, 'suspects.json');
  await writeFile(path, '{"version":7,"strange":');
  const first = await nodeOf(t, { dataDir });
  await fall(first, await peer(t, serve(blob(SIZE).bytes), '127.0.0.2'));
  await first.mirror.stop();
  assert.match(await readFile(path, 'utf8'), /"127\.0\.0\.2":\{/);
  const second = await nodeOf(t, { dataDir, upstream: { ...upstreamThere, known: () => true } });
  const { bytes, digest } = blob(SIZE);
  second.router.candidates = [await peer(t, serve(bytes), '127.0.0.2')];
  assert.equal((await get(second, digest)).status, 404);
});
