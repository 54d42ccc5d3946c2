/** Blobs out of files, sent by the kernel or copied: clients get the same bytes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, open, readdir, readlink, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '../../lib/oci/digest.ts';
import { assertSame, blobPath, type Node, startNode } from '../mirror/support.ts';
import { startFileNode, WAYS } from './file-node.ts';
import { rawAnswer } from './raw-answer.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

async function directory(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'spegel-file-answers-'));
  t.after(() => rm(root, { recursive: true }));
  return root;
}

/** How many this process has of a file. */
async function descriptors(path: string): Promise<number> {
  const names = await readdir('/proc/self/fd');
  const links = await Promise.all(
    names.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  );
  return links.filter((link) => link === path).length;
}

function client(t: TestContext, node: Node, lines: readonly string[]): Socket {
  const [host = '', port] = node.address.split(':');
  const socket = connect({ host, port: Number(port), allowHalfOpen: true });
  t.after(() => socket.destroy());
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  return socket;
}

/** Reads to the end of the connection. Returns heads and bodies; HEAD has an empty one. */
async function answers(socket: Socket, methods: readonly string[]) {
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece as Buffer);
  let rest = Buffer.concat(pieces);
  const found = methods.map((method) => {
    const end = rest.indexOf('\r\n\r\n') + 4;
    const head = rest.subarray(0, end).toString('latin1');
    const length = Number(/Content-Length: (\d+)/i.exec(head)?.[1]);
    const body = rest.subarray(end, method === 'HEAD' ? end : end + length);
    rest = rest.subarray(end + body.byteLength);
    return { head, body };
  });
  assert.equal(rest.byteLength, 0);
  return found;
}

for (const way of WAYS) {
  test(`ranges that begin and end around every bound: ${way}`, async (t) => {
    const { node, add } = await startFileNode(t, way);
    const bytes = randomBytes(5 * MIB + 3);
    const { digest } = await add(await directory(t), bytes);
    const bounds = [4 * KIB, 16 * KIB, 128 * KIB, 256 * KIB, MIB, 4 * MIB];
    for (const at of bounds) {
      for (const [first, last] of [
        [at - 1, at],
        [at, at],
        [at - 1, bytes.length - 1],
        [0, at - 1],
        [0, at],
        [at + 1, at + 1 + 128 * KIB],
      ] as const) {
        const range = `bytes=${first}-${last}`;
        const { head, body } = await rawAnswer(node, blobPath(digest), range);
        assert.match(head, /^HTTP\/1.1 206 /);
        assertSame(body, bytes.subarray(first, last + 1));
      }
      const { body } = await rawAnswer(node, blobPath(digest), `bytes=-${at}`);
      assertSame(body, bytes.subarray(-at));
    }
  });

  test(`several ranges of a file: ${way}`, async (t) => {
    const { node, add } = await startFileNode(t, way);
    const bytes = randomBytes(5 * MIB);
    const { digest } = await add(await directory(t), bytes);
    const ranges = [
      [3 * MIB - 1, 5 * MIB - 1],
      [0, 2 * MIB],
      [2 * MIB + 256 * KIB, 2 * MIB + 256 * KIB],
    ] as const;
    const asked = ranges.map(([first, last]) => `${first}-${last}`).join(',');
    const { head, body } = await rawAnswer(node, blobPath(digest), `bytes=${asked}`);
    const boundary = /boundary=(\S+)/.exec(head)?.[1];
    const expected = ranges.flatMap(([first, last], index) => [
      Buffer.from(`${index === 0 ? '' : '\r\n'}--${boundary}\r\n`),
      Buffer.from('Content-Type: application/octet-stream\r\n'),
      Buffer.from(`Content-Range: bytes ${first}-${last}/${bytes.length}\r\n\r\n`),
      bytes.subarray(first, last + 1),
    ]);
    assertSame(body, Buffer.concat([...expected, Buffer.from(`\r\n--${boundary}--\r\n`)]));
  });

  test(`an empty blob, HEAD, and pipelined requests: ${way}`, async (t) => {
    const { node, add } = await startFileNode(t, way);
    const root = await directory(t);
    const bytes = randomBytes(3 * MIB);
    const [empty, full] = [await add(root, Buffer.alloc(0)), await add(root, bytes)];
    const methods = ['GET', 'HEAD', 'GET', 'GET'];
    const digests = [empty, full, full, empty].map(({ digest }) => blobPath(digest));
    // This host's own client may have four under way.
    const lines = methods.flatMap((method, index) => [
      `${method} ${digests[index]} HTTP/1.1`,
      'User-Agent: containerd/2.1.9',
      ...(index === 3 ? ['Connection: close'] : ['']),
    ]);
    const found = await answers(client(t, node, lines), methods);
    assert.deepEqual(
      found.map(({ body }) => body.byteLength),
      [0, 0, bytes.length, 0],
    );
    assert.match(found[1]?.head ?? '', new RegExp(`Content-Length: ${bytes.length}\r\n`));
    assertSame(found[2]?.body ?? Buffer.alloc(0), bytes);
  });

  test(`ranges and clients that hang up share one descriptor, which closes: ${way}`, async (t) => {
    const { node, opened, add } = await startFileNode(t, way);
    const bytes = randomBytes(24 * MIB);
    const { digest, path } = await add(await directory(t), bytes);
    const lines = [`GET ${blobPath(digest)} HTTP/1.1`, 'Host: 127.0.0.1'];
    const one = async (index: number) => {
      const gone = client(t, node, lines);
      await once(gone, 'readable');
      const [first, last] = [index * KIB, index * KIB + 2 * MIB];
      const { body } = await rawAnswer(node, blobPath(digest), `bytes=${first}-${last}`);
      assertSame(body, bytes.subarray(first, last + 1));
      assert.equal(await descriptors(path), 1);
      gone.resetAndDestroy();
    };
    for (let round = 0; round < 5; round += 1)
      await Promise.all(Array.from({ length: 8 }, (_, index) => one(round * 8 + index)));
    assert.equal(await descriptors(path), 1);
    await opened.close();
    // The bodies of those that hung up may still be noticed.
    while ((await descriptors(path)) > 0) await sleep(10);
  });

  test(`an HTTP/1.0 client: ${way}`, async (t) => {
    const { node, add } = await startFileNode(t, way);
    const bytes = randomBytes(6 * MIB);
    const { digest } = await add(await directory(t), bytes);
    const lines = [`GET ${blobPath(digest)} HTTP/1.0`, 'Host: 127.0.0.1'];
    const [answer] = await answers(client(t, node, lines), ['GET']);
    assertSame(answer?.body ?? Buffer.alloc(0), bytes);
  });

  test(`a client that ends its own side in the middle: what comes is right: ${way}`, async (t) => {
    const { node, add } = await startFileNode(t, way);
    const bytes = randomBytes(24 * MIB);
    const { digest } = await add(await directory(t), bytes);
    const socket = client(t, node, [`GET ${blobPath(digest)} HTTP/1.1`, 'Host: 127.0.0.1']);
    await once(socket, 'readable');
    socket.end();
    const pieces: Buffer[] = [];
    for await (const piece of socket) pieces.push(piece as Buffer);
    const all = Buffer.concat(pieces);
    const body = all.subarray(all.indexOf('\r\n\r\n') + 4);
    assertSame(body, bytes.subarray(0, body.byteLength));
  });

  test(`a client that takes a few bytes at a time, and one that hangs up: ${way}`, async (t) => {
    const { node, add } = await startFileNode(t, way);
    const bytes = randomBytes(12 * MIB);
    const { digest } = await add(await directory(t), bytes);
    const lines = [`GET ${blobPath(digest)} HTTP/1.1`, 'Host: 127.0.0.1', 'Connection: close'];
    const [slow, gone] = [client(t, node, lines), client(t, node, lines)];
    await once(gone, 'readable');
    gone.resetAndDestroy();
    await once(slow, 'readable');
    const taken: Buffer[] = [];
    for (let count = 0; count < 20; count += 1) {
      const piece = slow.read(1) as Buffer | null;
      if (piece !== null) taken.push(piece);
      await sleep(20);
    }
    for await (const piece of slow) taken.push(piece as Buffer);
    const all = Buffer.concat(taken);
    assertSame(all.subarray(all.indexOf('\r\n\r\n') + 4), bytes);
  });

  test(`a blob over 4 GiB: ${way}`, async (t) => {
    const { node, addFile } = await startFileNode(t, way);
    const [bytes, at] = [randomBytes(2 * MIB), 2 ** 32 - MIB];
    const path = join(await directory(t), 'large');
    await using file = await open(path, 'w');
    await file.write(bytes, 0, bytes.length, at);
    const digest = digestOf(Buffer.from(path));
    const size = at + bytes.length;
    addFile(path, digest, size);
    for (const range of [`bytes=${at}-`, `bytes=-${bytes.length}`, `bytes=${at}-${size - 1}`]) {
      const { head, body } = await rawAnswer(node, blobPath(digest), range);
      assert.match(head, new RegExp(`Content-Range: bytes ${at}-${size - 1}/${size}\r\n`));
      assertSame(body, bytes);
    }
    const hole = await rawAnswer(node, blobPath(digest), `bytes=${MIB}-${3 * MIB - 1}`);
    assertSame(hole.body, Buffer.alloc(2 * MIB));
  });

  test(`a file that is cut short meanwhile, relayed to another host: ${way}`, async (t) => {
    const { node, add } = await startFileNode(t, way);
    const bytes = randomBytes(32 * MIB);
    const { digest, path } = await add(await directory(t), bytes);
    const puller = await startNode((stop) => t.after(stop));
    puller.router.candidates = [node.candidate];
    const lines = [`GET ${blobPath(digest)} HTTP/1.1`, 'Host: 127.0.0.1', 'Connection: close'];
    const socket = client(t, puller, lines);
    await once(socket, 'readable');
    await using file = await open(path, 'r+');
    await file.truncate(24 * MIB + 5);
    const pieces: Buffer[] = [];
    for await (const piece of socket) pieces.push(piece as Buffer);
    const all = Buffer.concat(pieces);
    const body = all.subarray(all.indexOf('\r\n\r\n') + 4);
    assert.ok(body.byteLength <= 24 * MIB + 5, `${body.byteLength} bytes`);
    assertSame(body, bytes.subarray(0, body.byteLength));
  });
}
