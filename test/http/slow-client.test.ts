/** Clients that take little, and what becomes of them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { acknowledgedBytes } from '../../lib/http/acknowledged-bytes.ts';
import { type Body, BodyWriter, ClientGone, pump } from '../../lib/http/body.ts';
import { setUnsentBytes } from '../../lib/http/kernel-buffers.ts';
import { startServer } from './server-support.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZE = 256 * MIB;
/** So long a client may take nothing. */
const STALL_MS = 1_000;

/** Pieces without an end. */
function endless(): Body {
  const piece = Buffer.alloc(256 * KIB, 1);
  return { next: () => Promise.resolve(piece), close: () => {} };
}

interface Served {
  readonly client: Socket;
  /** Why the answer was given up. */
  readonly ended: Promise<unknown>;
  readonly socket: () => Socket;
}

/** A client that has not begun to read an answer of SIZE bytes. */
async function served(t: TestContext): Promise<Served> {
  const ended = Promise.withResolvers<unknown>();
  let socket: Socket | undefined;
  const server = await startServer(t, async (request, response) => {
    socket = request.socket;
    // As a client that has read fast has it.
    setUnsentBytes(socket, 0);
    response.writeHead(200, { 'Content-Length': SIZE });
    const out = new BodyWriter(response, request.socket, STALL_MS);
    await pump(endless(), SIZE, out).catch(ended.resolve);
    out.cut();
  });
  const client = connect({ port: server.port, host: '127.0.0.1' });
  client.on('error', () => {});
  t.after(() => client.destroy());
  await once(client, 'connect');
  client.pause().write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
  return { client, ended: ended.promise, socket: () => socket as Socket };
}

test('a client that takes nothing is dropped', async (t) => {
  const { ended, socket } = await served(t);
  assert.ok((await ended) instanceof ClientGone);
  assert.equal(socket().destroyed, true);
});

test('a client that reads less than the kernel waits for is not dropped', async (t) => {
  const { client, ended, socket } = await served(t);
  const dropped = ended.then(() => true);
  const read = async (bytes: number) => {
    for (let taken = 0; taken < bytes; ) {
      const piece = client.read() as Buffer | null;
      taken += piece?.byteLength ?? 0;
      if (piece === null) await sleep(1);
    }
  };
  // Fast at first, so that the kernel's buffers grow; then until they are full.
  await read(64 * MIB);
  await sleep(300);
  const written = new Set<number>();
  for (let count = 0; count < 6; count += 1) {
    written.add(socket().bytesWritten);
    // A receiver's window opens in steps of a sixteenth.
    await read(400 * KIB);
    assert.equal(await Promise.race([dropped, sleep(STALL_MS * 0.7)]), undefined, `at ${count}`);
  }
  t.diagnostic(`${written.size} pieces in ${6 * 0.7 * STALL_MS} ms`);
});

test('what a client has acknowledged grows with what it reads', async (t) => {
  const { client, socket } = await served(t);
  await sleep(200);
  const before = acknowledgedBytes(socket());
  assert.ok(before !== undefined && before > 0n);
  client.resume();
  await sleep(200);
  assert.ok((acknowledgedBytes(socket()) ?? 0n) > before);
  const closed = new Promise((resolve) => {
    socket().once('close', resolve);
  });
  client.destroy();
  await closed;
  assert.equal(acknowledgedBytes(socket()), undefined);
});
