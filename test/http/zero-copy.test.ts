/**
 * A file that the kernel sends, and the same file copied piece by piece: what a client gets is the
 * same to the byte.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, open, readdir, readlink, rm, truncate, unlink } from 'node:fs/promises';
import { Agent, get, type IncomingMessage } from 'node:http';
import { connect, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Body, BodyWriter, pump } from '../../lib/http/body.ts';
import { BufferPool } from '../../lib/http/buffers.ts';
import { SERVE_BUFFERS } from '../../lib/http/constants.ts';
import { FileBody } from '../../lib/http/file-body.ts';
import { OpenFiles } from '../../lib/store/open-files.ts';
import { never, startServer } from './server-support.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Closes each file with its last reader. */
const unkept = new OpenFiles();
await unkept.close();

const WAYS = ['sent by the kernel', 'copied'] as const;
type Way = (typeof WAYS)[number];

interface Served {
  readonly port: number;
  /** Bytes that the kernel has sent by itself. */
  readonly byKernel: () => number;
  /** How the answers ended. */
  readonly ends: ('complete' | 'cut')[];
}

/** A server that answers `/START-END` with that range of the file. */
async function serve(t: TestContext, path: string, size: number, way: Way): Promise<Served> {
  let byKernel = 0;
  const ends: ('complete' | 'cut')[] = [];
  const buffers = new BufferPool(SERVE_BUFFERS);
  const server = await startServer(t, async (request, response) => {
    const [start = 0, end = 0] = (request.url ?? '').slice(1).split('-').map(Number);
    const reader = await unkept.open(path, size, never);
    const read: typeof reader.read = (...how) => reader.read(...how);
    const close = () => reader.close();
    const given = way === 'copied' ? { read, close } : reader;
    const fileBody = new FileBody(given, { start, end }, buffers, never);
    const body: Body = {
      next: () => fileBody.next(),
      send: async (socket) => {
        const sent = await fileBody.send(socket);
        byKernel += sent;
        return sent;
      },
      close: () => fileBody.close(),
    };
    response.writeHead(200, { 'Content-Length': end - start });
    const out = new BodyWriter(response, request.socket, 10_000);
    try {
      await pump(body, end - start, out);
      out.end();
      ends.push('complete');
    } catch {
      out.cut();
      ends.push('cut');
    } finally {
      body.close();
    }
  });
  return { port: server.port, byKernel: () => byKernel, ends };
}

async function makeFile(t: TestContext, bytes: Buffer, at = 0): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'spegel-zero-copy-'));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, 'blob');
  const file = await open(path, 'w');
  await file.write(bytes, 0, bytes.length, at);
  await file.close();
  return path;
}

function request(port: number, [start, end]: readonly [number, number], agent?: Agent) {
  return new Promise<IncomingMessage>((resolve, reject) => {
    get({ port, host: '127.0.0.1', path: `/${start}-${end}`, agent }, resolve).on('error', reject);
  });
}

async function bytesOf(answer: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of answer) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function openDescriptors(path: string): Promise<number> {
  const names = await readdir('/proc/self/fd');
  const links = await Promise.all(
    names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => '')),
  );
  return links.filter((link) => link.startsWith(path)).length;
}

async function untilClosed(path: string): Promise<void> {
  while ((await openDescriptors(path)) > 0) await sleep(10);
}

for (const way of WAYS) {
  test(`every range around the bounds of pages, pieces, probes and slices: ${way}`, async (t) => {
    const size = 3 * MIB + 5;
    const bytes = randomBytes(size);
    const path = await makeFile(t, bytes);
    const { port, byKernel } = await serve(t, path, size, way);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const bounds = [0, 4 * KIB, 16 * KIB, 128 * KIB, MIB];
    const starts = bounds.flatMap((at) => [at - 1, at, at + 1]).filter((at) => at >= 0);
    const lengths = [...starts, 2 * MIB];
    for (const start of starts) {
      for (const length of [...lengths, size - start]) {
        const end = Math.min(start + length, size);
        const got = await bytesOf(await request(port, [start, end], agent));
        assert.ok(got.equals(bytes.subarray(start, end)), `${start}-${end}`);
      }
    }
    if (way === 'copied') assert.equal(byKernel(), 0);
    else assert.ok(byKernel() > 10 * MIB, `${byKernel()} bytes by the kernel`);
    await untilClosed(path);
  });

  test(`beyond 4 GiB: ${way}`, async (t) => {
    const bytes = randomBytes(3 * MIB);
    const at = 2 ** 32 - MIB;
    const path = await makeFile(t, bytes, at);
    const { port } = await serve(t, path, at + bytes.length, way);
    const got = await bytesOf(await request(port, [at + 3, at + bytes.length - 3]));
    assert.ok(got.equals(bytes.subarray(3, -3)));
  });

  test(`pipelined requests on one connection: ${way}`, async (t) => {
    const bytes = randomBytes(2 * MIB);
    const { port } = await serve(t, await makeFile(t, bytes), bytes.length, way);
    const socket = connect({ port, host: '127.0.0.1' });
    const host = 'HTTP/1.1\r\nHost: 127.0.0.1\r\n';
    socket.write(`GET /0-1500000 ${host}\r\nGET /7-2000000 ${host}Connection: close\r\n\r\n`);
    const pieces: Buffer[] = [];
    for await (const piece of socket) pieces.push(piece);
    const text = Buffer.concat(pieces);
    const bodies: Buffer[] = [];
    for (let rest = text; rest.length > 0; ) {
      const head = rest.indexOf('\r\n\r\n') + 4;
      const length = Number(/Content-Length: (\d+)/.exec(rest.toString('latin1', 0, head))?.[1]);
      bodies.push(rest.subarray(head, head + length));
      rest = rest.subarray(head + length);
    }
    assert.equal(bodies.length, 2);
    assert.ok(bodies[0]?.equals(bytes.subarray(0, 1_500_000)));
    assert.ok(bodies[1]?.equals(bytes.subarray(7, 2_000_000)));
  });

  test(`clients that stop, and go on: ${way}`, async (t) => {
    const bytes = randomBytes(24 * MIB);
    const path = await makeFile(t, bytes);
    const { port, ends } = await serve(t, path, bytes.length, way);
    const one = async () => {
      const hash = createHash('sha256');
      let count = 0;
      for await (const piece of await request(port, [0, bytes.length])) {
        hash.update(piece);
        count += piece.length;
        if (count < 2 * MIB) await sleep(5);
      }
      assert.equal(count, bytes.length);
      return hash.digest('hex');
    };
    const right = createHash('sha256').update(bytes).digest('hex');
    assert.deepEqual(new Set(await Promise.all(Array.from({ length: 8 }, one))), new Set([right]));
    assert.deepEqual(new Set(ends), new Set(['complete']));
    await untilClosed(path);
  });

  test(`clients that hang up: ${way}`, async (t) => {
    const size = 64 * MIB;
    const path = await makeFile(t, Buffer.alloc(size, 1));
    const { port, ends } = await serve(t, path, size, way);
    for (const after of [1, 100 * KIB, 5 * MIB]) {
      const answer = await request(port, [0, size]);
      let count = 0;
      for await (const piece of answer) {
        count += piece.length;
        if (count >= after) break;
      }
    }
    while (ends.length < 3) await sleep(10);
    assert.deepEqual(ends, ['cut', 'cut', 'cut']);
    await untilClosed(path);
  });

  test(`a file that is truncated meanwhile is cut, never padded: ${way}`, async (t) => {
    const bytes = randomBytes(48 * MIB);
    const path = await makeFile(t, bytes);
    const { port, ends } = await serve(t, path, bytes.length, way);
    const answer = await request(port, [0, bytes.length]);
    await once(answer, 'readable');
    await truncate(path, 40 * MIB + 11);
    await assert.rejects(async () => {
      let count = 0;
      for await (const piece of answer) {
        assert.ok(piece.equals(bytes.subarray(count, count + piece.length)), `at ${count}`);
        count += piece.length;
        assert.ok(count <= 40 * MIB + 11);
      }
    }, /aborted/);
    assert.deepEqual(ends, ['cut']);
  });

  test(`a file that is deleted meanwhile is sent to its end: ${way}`, async (t) => {
    const bytes = randomBytes(48 * MIB);
    const path = await makeFile(t, bytes);
    const { port } = await serve(t, path, bytes.length, way);
    const answer = await request(port, [0, bytes.length]);
    await once(answer, 'readable');
    await unlink(path);
    assert.ok((await bytesOf(answer)).equals(bytes));
    await untilClosed(path);
  });
}

test('a kernel that sends nothing: whole buffers come soon, and the same bytes', async (t) => {
  const bytes = randomBytes(4 * MIB);
  const path = await makeFile(t, bytes);
  const buffers = new BufferPool(SERVE_BUFFERS);
  const range = { start: 0, end: bytes.length };
  const body = new FileBody(await unkept.open(path, bytes.length, never), range, buffers, never);
  t.after(() => body.close());
  // Not connected: it has no descriptor.
  const client = new Socket();
  const pieces: Buffer[] = [];
  for (let piece = await body.next(); piece !== undefined; piece = await body.next()) {
    pieces.push(Buffer.from(piece));
    assert.equal(await body.send(client), 0);
  }
  assert.ok(Buffer.concat(pieces).equals(bytes));
  assert.ok(pieces.length < 32, `${pieces.length} pieces`);
});

test('a socket of Node has the descriptor where it is looked for', async (t) => {
  const { port } = await startServer(t, (_request, response) => {
    response.end();
  });
  const socket: Socket = connect({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  const { _handle: handle } = socket as unknown as { _handle: { fd: number } };
  assert.match(await readlink(`/proc/self/fd/${handle.fd}`), /^socket:/);
  socket.destroy();
  await once(socket, 'close');
  assert.equal((socket as unknown as { _handle: unknown })._handle, null);
});
