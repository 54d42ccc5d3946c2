/** Several ranges through peers: what they are asked for, and what comes of it when they fail. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { waitUntil } from '../../lab/processes/exec.ts';
import { delay } from '../../lib/base/abortable.ts';
import { isMiss } from '../../lib/mirror/mirror.ts';
import { startInflightNode } from '../mirror/inflight-support.ts';
import { type FakePeer, startPeer } from '../mirror/raw-peer.ts';
import {
  blob,
  blobPath,
  manifestOf,
  manifestPath,
  type Node,
  startNode,
} from '../mirror/support.ts';
import { assertParts, boundaryOf, multipartBody, type Part } from './multipart.ts';
import { rawAnswer } from './raw-answer.ts';

const MIB = 1024 * 1024;
const SIZE = 4 * MIB;
const RANGE = 'bytes=0-1048575,2000000-2999999';
const PARTS: readonly Part[] = [
  [0, MIB],
  [2_000_000, 3_000_000],
];

/** The range that a request asks for; undefined without. */
function rangeOf(head: string): Part | undefined {
  const [, start, last] = /^range: bytes=(\d+)-(\d+)\r$/im.exec(head) ?? [];
  return start === undefined ? undefined : [Number(start), Number(last) + 1];
}

/**
 * A peer that has `bytes`. `send` gets what belongs to the `count`th range that it is asked for,
 * and by default sends it.
 */
function startProvider(
  t: TestContext,
  bytes: Buffer,
  send: (socket: Socket, part: Buffer, count: number) => void = (socket, part) => socket.end(part),
): Promise<FakePeer> {
  let count = 0;
  const size = bytes.byteLength;
  return startPeer(
    (stop) => t.after(stop),
    (socket, head) => {
      const [start, end] = rangeOf(head) ?? [0, 0];
      if (end === 0) {
        socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        return;
      }
      socket.write(
        `HTTP/1.1 206 Partial Content\r\nContent-Length: ${end - start}\r\n` +
          `Content-Range: bytes ${start}-${end - 1}/${size}\r\n\r\n`,
      );
      count += 1;
      send(socket, bytes.subarray(start, end), count);
    },
  );
}

/** Methods and ranges of what a peer was asked. */
function asked({ requests }: FakePeer): string[] {
  return requests.map((head) => {
    const range = rangeOf(head);
    return `${head.split(' ', 1)[0]}${range === undefined ? '' : ` ${range[0]}-${range[1]}`}`;
  });
}

function ask(node: Node, digest: string): Promise<Response> {
  return fetch(`${node.url}${blobPath(digest)}`, { headers: { Range: RANGE } });
}

const GETS = [`GET 0-${MIB}`, 'GET 2000000-3000000'];

test('a peer is asked for the size, then for one range at a time', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const node = await startNode((stop) => t.after(stop));
  const provider = await startProvider(t, bytes);
  node.router.candidates = [provider];
  await assertParts(await ask(node, digest), bytes, PARTS);
  assert.deepEqual(asked(provider), ['HEAD', ...GETS]);
  assert.ok(provider.requests.every((head) => /^x-spegel-mirrored: true\r$/im.test(head)));
});

test('a peer is not asked for a size that a manifest says', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const node = await startNode((stop) => t.after(stop));
  const other = await startNode((stop) => t.after(stop));
  const manifest = other.store.add(manifestOf([Buffer.from('config'), bytes]));
  node.router.candidates = [other.candidate];
  assert.equal((await fetch(`${node.url}${manifestPath(manifest)}`)).status, 200);
  const provider = await startProvider(t, bytes);
  node.router.candidates = [provider];
  await assertParts(await ask(node, digest), bytes, PARTS);
  assert.deepEqual(asked(provider), GETS);
});

test('ranges with little between them are one question, those with much are not', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const node = await startNode((stop) => t.after(stop));
  const provider = await startProvider(t, bytes);
  node.router.candidates = [provider];
  const headers = { Range: 'bytes=100-200,50000-100000,1000000-1000009,0-9,90-99' };
  const response = await fetch(`${node.url}${blobPath(digest)}`, { headers });
  await assertParts(response, bytes, [
    [90, 201],
    [50_000, 100_001],
    [1_000_000, 1_000_010],
    [0, 10],
  ]);
  assert.deepEqual(asked(provider), ['HEAD', 'GET 90-100001', 'GET 1000000-1000010', 'GET 0-10']);
});

test('a peer that dies in the second part is replaced at that byte', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const node = await startNode((stop) => t.after(stop));
  const provider = await startProvider(t, bytes);
  const dying = await startProvider(t, bytes, (socket, part, count) => {
    if (count === 2) node.router.candidates = [provider];
    socket.end(count === 1 ? part : part.subarray(0, 400_000));
  });
  node.router.candidates = [dying];
  await assertParts(await ask(node, digest), bytes, PARTS);
  assert.deepEqual(asked(dying), ['HEAD', ...GETS]);
  assert.deepEqual(asked(provider), ['GET 2400000-3000000']);
});

/** Ways in which the only peer is lost after the first part. */
const LOST: Record<string, (socket: Socket, part: Buffer) => void> = {
  'dies in it': (socket, part) => socket.end(part.subarray(0, 400_000)),
  'resets it': (socket, part) => {
    socket.write(part.subarray(0, 400_000), () => socket.resetAndDestroy());
  },
  'dies before it': (socket) => socket.destroy(),
};

for (const [name, lose] of Object.entries(LOST)) {
  test(`the only peer has sent one part and ${name}: FIN after what came`, async (t) => {
    const { bytes, digest } = blob(SIZE);
    const node = await startNode((stop) => t.after(stop));
    const provider = await startProvider(t, bytes, (socket, part, count) => {
      if (count === 1) socket.end(part);
      else lose(socket, part);
    });
    node.router.candidates = [provider];
    const { head, body } = await rawAnswer(node, blobPath(digest), RANGE);
    const [, type = '', length = ''] =
      /content-type: (.*)\r\ncontent-length: (.*)/i.exec(head) ?? [];
    const whole = multipartBody(boundaryOf(type), bytes, PARTS);
    assert.equal(length, String(whole.byteLength));
    assert.ok(body.byteLength >= MIB && body.byteLength < whole.byteLength - 500_000);
    assert.ok(body.equals(whole.subarray(0, body.byteLength)), 'nothing is padded or invented');
  });
}

test('a peer that promises another size for the second part is not believed', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const node = await startNode((stop) => t.after(stop));
  const liar = await startProvider(t, Buffer.concat([bytes, Buffer.alloc(1)]));
  const honest = await startProvider(t, bytes, (socket, part) => {
    node.router.candidates = [liar];
    socket.end(part);
  });
  node.router.candidates = [honest];
  const { head, body } = await rawAnswer(node, blobPath(digest), RANGE);
  assert.match(head, /^HTTP\/1.1 206 /);
  assert.ok(body.byteLength > MIB && body.byteLength < MIB + 1_000, `${body.byteLength} bytes`);
});

test('a client that stops reading: the next part is not asked for, and leaving frees all', async (t) => {
  const { bytes, digest } = blob(48 * MIB);
  const node = await startNode((stop) => t.after(stop));
  let left = 0;
  const provider = await startProvider(t, bytes, (socket, part) => {
    socket.once('close', () => {
      left += 1;
    });
    socket.end(part);
  });
  node.router.candidates = [provider];
  const [host = '', port] = node.address.split(':');
  const client = connect({ host, port: Number(port) }).pause();
  t.after(() => client.destroy());
  const range = `bytes=0-${32 * MIB - 1},${40 * MIB}-`;
  client.write(`GET ${blobPath(digest)} HTTP/1.1\r\nRange: ${range}\r\n\r\n`);
  await waitUntil('the first part is asked for', () => provider.requests.length === 2);
  await delay(500);
  assert.deepEqual(asked(provider), ['HEAD', `GET 0-${32 * MIB}`]);
  assert.equal(left, 0);
  client.destroy();
  await waitUntil('the peer is left', () => left === 1);
});

/** Counts the bodies of the fleet that the registry has not closed. */
function watchBodies({ mirror }: Node): { open: number; all: number } {
  const count = { open: 0, all: 0 };
  const getBlob = mirror.blob.bind(mirror);
  mirror.blob = async (...question) => {
    const found = await getBlob(...question);
    if (isMiss(found)) return found;
    count.open += 1;
    count.all += 1;
    const close = () => {
      count.open -= 1;
      found.body.close();
    };
    return { ...found, body: { next: () => found.body.next(), close } };
  };
  return count;
}

test('each body is closed once, after a whole answer and after one that was cut', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const node = await startNode((stop) => t.after(stop));
  const bodies = watchBodies(node);
  const provider = await startProvider(t, bytes, (socket, part, count) => {
    socket.end(count < 4 ? part : part.subarray(0, 400_000));
  });
  node.router.candidates = [provider];
  await rawAnswer(node, blobPath(digest), RANGE);
  await waitUntil('the bodies of a whole answer are closed', () => bodies.open === 0);
  assert.equal(bodies.all, 2);
  await rawAnswer(node, blobPath(digest), RANGE);
  await waitUntil('the bodies of a cut answer are closed', () => bodies.open === 0);
  assert.equal(bodies.all, 4);
});

test('several ranges are no pull: no tracker hears of them, and no peer is sent here', async (t) => {
  const { bytes, digest } = blob(SIZE);
  const node = await startInflightNode((stop) => t.after(stop));
  const provider = await startProvider(t, bytes);
  node.router.candidates = [provider];
  node.inflight.begin(digest, SIZE).append(bytes.subarray(0, MIB));
  await assertParts(await ask(node, digest), bytes, PARTS);
  assert.equal(node.tracker.joins.length, 0);
  assert.deepEqual(node.tracker.sources, []);
  const peer = { 'X-Spegel-Mirrored': 'true', 'X-Spegel-Inflight': 'true' };
  const response = await fetch(`${node.url}${blobPath(digest)}`, { headers: peer });
  assert.equal(response.status, 404);
});
