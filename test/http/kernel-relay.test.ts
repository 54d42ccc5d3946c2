/**
 * What comes from a peer and goes to a client, moved by the kernel or copied: the same bytes, and
 * the same ends.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readlink } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Body, BodyWriter, pump } from '../../lib/http/body.ts';
import { BufferPool } from '../../lib/http/buffers.ts';
import { MAX_PIPES, RELAY_BUFFERS } from '../../lib/http/constants.ts';
import { PeerConnections } from '../../lib/http/peer-connections.ts';
import { RawExchange } from '../../lib/http/raw-exchange.ts';
import { listenLocally } from '../support/listen.ts';
import { never, startServer } from './server-support.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const WAYS = ['moved by the kernel', 'copied'] as const;
type Way = (typeof WAYS)[number];

/** A peer that sends the head and leaves the body to `act`. */
function peerThat(t: TestContext, length: number, act: (socket: Socket) => unknown) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`);
      act(socket);
    });
  });
  return listenLocally((stop) => t.after(stop), server);
}

/** A server that relays what the peer sends. */
async function relay(t: TestContext, address: string, way: Way) {
  const connections = new PeerConnections(new BufferPool(RELAY_BUFFERS));
  const ends: ('complete' | 'cut')[] = [];
  let byKernel = 0;
  const server = await startServer(t, async (request, response) => {
    const raw = { address, method: 'GET', path: '/', headers: {} } as const;
    const { head, exchange } = await RawExchange.open(raw, connections, never);
    const body: Body = {
      next: () => exchange.next(),
      close: () => exchange.close(),
      ...(way === 'copied'
        ? {}
        : {
            send: async (client: Socket) => {
              const sent = await exchange.send(client);
              byKernel += sent;
              return sent;
            },
          }),
    };
    response.writeHead(200, { 'Content-Length': head.contentLength });
    const out = new BodyWriter(response, request.socket, 10_000);
    try {
      await pump(body, head.contentLength, out);
      out.end();
      ends.push('complete');
    } catch {
      out.cut();
      ends.push('cut');
    } finally {
      body.close();
    }
  });
  const ask = () =>
    new Promise<IncomingMessage>((resolve, reject) => {
      get({ port: server.port, host: '127.0.0.1', agent: false }, resolve).on('error', reject);
    });
  return { ask, ends, byKernel: () => byKernel };
}

async function bytesOf(answer: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of answer) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function descriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length;
}

/** Open ends of pipes. */
async function pipes(): Promise<number> {
  const names = await readdir('/proc/self/fd');
  const links = names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => ''));
  return (await Promise.all(links)).filter((link) => link.startsWith('pipe:')).length;
}

for (const way of WAYS) {
  test(`bodies of all sizes: ${way}`, async (t) => {
    const bytes = randomBytes(5 * MIB + 3);
    for (const length of [0, 1, 16 * KIB, 16 * KIB + 1, 64 * KIB + 1, MIB, bytes.length]) {
      const address = await peerThat(t, length, (socket) => {
        // More than it promised: that is not part of the answer.
        socket.end(Buffer.concat([bytes.subarray(0, length), Buffer.from('more')]));
      });
      const { ask } = await relay(t, address, way);
      const got = await bytesOf(await ask());
      assert.ok(got.equals(bytes.subarray(0, length)), `${length}: ${got.length}`);
    }
  });

  test(`a peer that comes in drops, and a client that stops: ${way}`, async (t) => {
    const bytes = randomBytes(12 * MIB);
    const address = await peerThat(t, bytes.length, async (socket) => {
      for (let at = 0; at < 100 * KIB; at += 10 * KIB) {
        socket.write(bytes.subarray(at, at + 10 * KIB));
        await sleep(5);
      }
      socket.write(bytes.subarray(100 * KIB));
    });
    const { ask, byKernel, ends } = await relay(t, address, way);
    const answer = await ask();
    const pieces: Buffer[] = [];
    for await (const piece of answer) {
      pieces.push(piece);
      if (pieces.length < 40) await sleep(10);
    }
    assert.ok(Buffer.concat(pieces).equals(bytes));
    assert.deepEqual(ends, ['complete']);
    if (way === 'copied') assert.equal(byKernel(), 0);
    else assert.ok(byKernel() > 4 * MIB, `${byKernel()} bytes by the kernel`);
  });

  test(`a peer that waits until the client has its last few bytes: ${way}`, async (t) => {
    const bytes = randomBytes(64 * MIB + 10);
    // The peer goes on when the client has all before it.
    const pauses = [64 * MIB, 64 * MIB + 5, bytes.length];
    let peer: Socket | undefined;
    const address = await peerThat(t, bytes.length, (socket) => {
      peer = socket;
      socket.write(bytes.subarray(0, pauses[0]));
    });
    const { ask } = await relay(t, address, way);
    const pieces: Buffer[] = [];
    let count = 0;
    for await (const piece of await ask()) {
      pieces.push(piece);
      count += piece.length;
      const pause = pauses.indexOf(count);
      if (pause >= 0) peer?.write(bytes.subarray(count, pauses[pause + 1]));
    }
    assert.ok(Buffer.concat(pieces).equals(bytes));
  });

  test(`a peer that ends too early: what came is right, and the answer is cut: ${way}`, async (t) => {
    const bytes = randomBytes(6 * MIB);
    const address = await peerThat(t, 8 * MIB, (socket) => socket.end(bytes));
    const { ask, ends } = await relay(t, address, way);
    const pieces: Buffer[] = [];
    await assert.rejects(async () => {
      for await (const piece of await ask()) pieces.push(piece);
    }, /aborted/);
    const got = Buffer.concat(pieces);
    assert.ok(got.equals(bytes.subarray(0, got.length)));
    assert.deepEqual(ends, ['cut']);
  });

  test(`clients that hang up leave nothing open: ${way}`, async (t) => {
    const address = await peerThat(t, 64 * MIB, (socket) => socket.write(Buffer.alloc(64 * MIB)));
    const { ask, ends } = await relay(t, address, way);
    const hangUp = async () => {
      let count = 0;
      for await (const piece of await ask()) {
        count += piece.length;
        if (count > 3 * MIB) break;
      }
    };
    await hangUp();
    while (ends.length === 0) await sleep(10);
    await sleep(100);
    const before = await descriptors();
    for (let round = 0; round < 10; round += 1) await hangUp();
    while (ends.length < 11) await sleep(10);
    await sleep(100);
    assert.ok((await descriptors()) <= before + 2, `${before}, then ${await descriptors()}`);
  });
}

test('more relays at once than there are pipes: all of them come right, and no pipe stays', async (t) => {
  const bytes = randomBytes(2 * MIB);
  let isAllThere = false;
  const address = await peerThat(t, bytes.length, async (socket) => {
    socket.write(bytes.subarray(0, MIB));
    let at = MIB;
    // A silent peer would be given up, and a busy machine takes long to open so many relays.
    for (; !isAllThere && at < bytes.length; at += KIB) {
      socket.write(bytes.subarray(at, at + KIB));
      await sleep(100);
    }
    socket.write(bytes.subarray(at));
  });
  const { ask, ends } = await relay(t, address, 'moved by the kernel');
  const before = await pipes();
  const answers = await Promise.all(Array.from({ length: MAX_PIPES + 8 }, ask));
  const bodies = answers.map(bytesOf);
  await sleep(300);
  isAllThere = true;
  for (const body of await Promise.all(bodies)) assert.ok(body.equals(bytes));
  while (ends.length < answers.length) await sleep(10);
  assert.equal(await pipes(), before);
});

test('a peer that resets while the kernel moves its bytes', async (t) => {
  const bytes = randomBytes(6 * MIB);
  const address = await peerThat(t, 8 * MIB, (socket) => {
    socket.write(bytes, () => setTimeout(() => socket.resetAndDestroy(), 50));
  });
  const { ask, ends } = await relay(t, address, 'moved by the kernel');
  const answer = await ask();
  await assert.rejects(bytesOf(answer), /aborted/);
  while (ends.length === 0) await sleep(10);
  assert.deepEqual(ends, ['cut']);
});
