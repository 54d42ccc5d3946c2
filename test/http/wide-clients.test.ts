import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  FAST_BYTES,
  FAST_MS,
  MAX_UNSENT_BYTES,
  MAX_WIDE_CLIENTS,
} from '../../lib/http/constants.ts';
import { limitUnreadBytes, limitUnsentBytes, unsentMemory } from '../../lib/http/kernel-buffers.ts';
import { WideClients } from '../../lib/http/wide-clients.ts';
import { listenLocally } from '../support/listen.ts';
import { socketOption, TCP_NOTSENT_LOWAT } from './socket-options.ts';

const MIB = 1024 * 1024;

/** The server's ends of connections whose other ends do not read. `others` gets those. */
async function clients(t: TestContext, count: number, others: Socket[] = []): Promise<Socket[]> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on('error', () => {})));
  const address = await listenLocally((stop) => t.after(stop), server);
  assert.ok(limitUnsentBytes(server));
  for (let index = 0; index < count; index += 1) {
    const client = connect(Number(address.split(':')[1]), '127.0.0.1');
    t.after(() => client.destroy());
    await once(client, 'connect');
    assert.ok(limitUnreadBytes(client));
    others.push(client);
  }
  while (sockets.length < count) await sleep(5);
  return sockets;
}

/** Resolves when the socket is closed, by an error or not. */
function closeOf(socket: Socket | undefined): Promise<unknown> {
  return new Promise((resolve) => socket?.once('close', resolve));
}

/** In bytes. */
const unsentBytes = (socket: Socket) => socketOption(socket, TCP_NOTSENT_LOWAT);

test('short bodies of a fast client count together, and its next one begins wide', async (t) => {
  const [one] = await clients(t, 1);
  assert.ok(one !== undefined);
  const wide = new WideClients();
  // 2 MiB each, with pauses between them that are not the client's.
  for (let bytes = 0; bytes < FAST_BYTES; bytes += 2 * MIB) {
    wide.sent(one, MIB);
    wide.sent(one, MIB);
    assert.equal(unsentBytes(one), bytes + 2 * MIB < FAST_BYTES ? MAX_UNSENT_BYTES : 0);
    wide.release(one);
    await sleep(FAST_MS / 3);
  }
  assert.equal(unsentBytes(one), MAX_UNSENT_BYTES, 'between two bodies');
  wide.sent(one, 1);
  assert.equal(unsentBytes(one), 0);
  wide.release(one);
  assert.equal(unsentBytes(one), MAX_UNSENT_BYTES);
});

test('a client that becomes slow has the limit again, in its next bodies as well', async (t) => {
  const [one] = await clients(t, 1);
  assert.ok(one !== undefined);
  const wide = new WideClients();
  wide.sent(one, FAST_BYTES);
  await sleep(FAST_MS + 50);
  wide.sent(one, FAST_BYTES);
  assert.equal(unsentBytes(one), MAX_UNSENT_BYTES);
  wide.release(one);
  wide.sent(one, 1);
  assert.equal(unsentBytes(one), MAX_UNSENT_BYTES);
});

test('few are wide at once, and one that is over makes room', async (t) => {
  const sockets = await clients(t, MAX_WIDE_CLIENTS + 1);
  const wide = new WideClients();
  for (const socket of sockets) wide.sent(socket, FAST_BYTES);
  const [first, last] = [sockets[0], sockets.at(-1)];
  assert.ok(first !== undefined && last !== undefined);
  assert.deepEqual([first, last].map(unsentBytes), [0, MAX_UNSENT_BYTES]);
  wide.release(first);
  wide.release(first);
  wide.sent(last, FAST_BYTES);
  wide.sent(first, 1);
  assert.deepEqual([first, last].map(unsentBytes), [MAX_UNSENT_BYTES, 0]);
  // Its place, and no other, is free again.
  wide.release(last);
  wide.sent(first, FAST_BYTES);
  assert.equal(unsentBytes(first), 0);
});

test('a client that has not read what it left in the kernel keeps its place', async (t) => {
  const others: Socket[] = [];
  const sockets = await clients(t, MAX_WIDE_CLIENTS + 5, others);
  const leftBehindMs = 1_000;
  const wide = new WideClients(leftBehindMs);
  const [leavers, [second, third, fourth, fifth, sixth]] = [
    sockets.slice(0, MAX_WIDE_CLIENTS),
    sockets.slice(MAX_WIDE_CLIENTS),
  ];
  assert.ok(second && third && fourth && fifth && sixth);
  for (const socket of leavers) {
    wide.sent(socket, FAST_BYTES);
    assert.equal(unsentBytes(socket), 0);
    socket.write(Buffer.alloc(2 * MIB));
    while (unsentMemory(socket) <= MAX_UNSENT_BYTES) await sleep(1);
    wide.release(socket);
  }
  wide.sent(second, FAST_BYTES);
  assert.equal(unsentBytes(second), MAX_UNSENT_BYTES, 'all places are taken');
  const [first] = leavers;
  assert.ok(first !== undefined);
  others[0]?.resume();
  while (unsentMemory(first) > 0 || first.writableLength > 0) await sleep(1);
  wide.sent(second, FAST_BYTES);
  assert.equal(unsentBytes(second), 0, 'the first has read');
  wide.sent(third, FAST_BYTES);
  assert.equal(unsentBytes(third), MAX_UNSENT_BYTES);
  leavers[1]?.destroy();
  await sleep(leftBehindMs / 10);
  wide.sent(third, FAST_BYTES);
  assert.equal(unsentBytes(third), MAX_UNSENT_BYTES, 'the kernel holds it behind the close');
  const isClosed = closeOf(leavers[2]);
  others[2]?.resetAndDestroy();
  await isClosed;
  wide.sent(third, FAST_BYTES);
  assert.equal(unsentBytes(third), 0, 'it is dropped at a reset');
  const reader = leavers[3] ?? assert.fail();
  const isOver = closeOf(reader.resume());
  others[3]?.resume();
  while (unsentMemory(reader) > 0 || reader.writableLength > 0) await sleep(1);
  others[3]?.end();
  await isOver;
  wide.sent(fifth, FAST_BYTES);
  assert.equal(unsentBytes(fifth), 0, 'it has read all, and ended the connection');
  wide.sent(fourth, FAST_BYTES);
  assert.equal(unsentBytes(fourth), MAX_UNSENT_BYTES);
  await sleep(leftBehindMs);
  wide.sent(sixth, FAST_BYTES);
  assert.equal(unsentBytes(sixth), 0, 'the kernel has given up');
});
