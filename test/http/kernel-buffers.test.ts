import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { limitUnreadBytes, limitUnsentBytes } from '../../lib/http/kernel-buffers.ts';
import { SO_RCVBUF, socketOption } from './socket-options.ts';

const KIB = 1024;
const PIECE = Buffer.alloc(64 * KIB);

async function pair(t: TestContext, isBounded: boolean) {
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  if (isBounded) assert.equal(limitUnsentBytes(server), true);
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  // It never reads.
  const client = connect({ port: address.port, host: '127.0.0.1' }).pause();
  const [socket] = (await once(server, 'connection')) as [Socket];
  for (const end of [client, socket]) {
    end.on('error', () => {});
    t.after(() => end.destroy());
  }
  return { client, socket };
}

/** How many bytes the kernel takes until it takes no more. */
async function taken(socket: Socket): Promise<number> {
  let bytes = 0;
  let isFull = false;
  while (!isFull) {
    const written = new Promise<void>((resolve) => {
      socket.write(PIECE, () => resolve());
    });
    isFull = (await Promise.race([written.then(() => false), sleep(300).then(() => true)])) ?? true;
    if (!isFull) bytes += PIECE.byteLength;
  }
  return bytes;
}

test('what a client does not read is bounded in the kernel, or Node has changed its handles', async (t) => {
  const [free, bounded] = [await pair(t, false), await pair(t, true)];
  const [most, least] = [await taken(free.socket), await taken(bounded.socket)];
  t.diagnostic(`${most / KIB} KiB, bounded ${least / KIB} KiB, the client's own part included`);
  assert.ok(most - least > 1024 * KIB, `${most} and ${least} bytes`);
});

/** In bytes: what was asked for, twice. */
const receiveBuffer = (socket: Socket) => socketOption(socket, SO_RCVBUF);

test('what we do not read is bounded in the kernel: the buffer of this very socket grows no more', async (t) => {
  const [free, bounded] = [await pair(t, true), await pair(t, true)];
  const before = receiveBuffer(bounded.client);
  assert.equal(limitUnreadBytes(bounded.client), true);
  assert.notEqual(receiveBuffer(bounded.client), before);
  assert.ok(receiveBuffer(bounded.client) <= 416 * KIB);
  assert.equal(receiveBuffer(free.client), before);
});

test('a socket that is closed has no descriptor', async (t) => {
  const { client } = await pair(t, true);
  client.destroy();
  assert.equal(limitUnreadBytes(client), false);
});
