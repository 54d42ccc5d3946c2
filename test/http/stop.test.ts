import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import { BodyWriter } from '../../lib/http/body.ts';
import { makeServer, raw, sayOk, startServer } from './server-support.ts';

/** Writes 1 MiB pieces until the client is gone or the server ends it. */
const endless = async (_request: IncomingMessage, response: ServerResponse) => {
  const { socket } = response.req;
  response.writeHead(200, { 'Content-Length': 1e12 });
  const out = new BodyWriter(response, socket, 60_000);
  const piece = Buffer.alloc(1024 * 1024);
  try {
    for (;;) await out.write(piece);
  } catch {
    // The end of the test.
  }
};

test('stop lets a running answer finish', async (t) => {
  const arrived = Promise.withResolvers<void>();
  const server = await startServer(
    t,
    async (_request, response) => {
      arrived.resolve();
      await delay(100);
      response.end('finished');
    },
    1_000,
  );
  const idle = raw(server.port, '');
  const running = raw(server.port, 'GET / HTTP/1.1\r\n\r\n');
  await arrived.promise;
  await server.stop();
  assert.match((await running.done).text, /finished$/);
  assert.equal((await idle.done).end, 'fin');
  await assert.rejects(fetch(`http://127.0.0.1:${server.port}/`));
});

test('stop ends an answer that takes too long, with FIN', async (t) => {
  const server = await startServer(t, endless, 50);
  const { done } = raw(server.port, 'GET / HTTP/1.1\r\n\r\n');
  await delay(30);
  await server.stop();
  assert.equal((await done).end, 'fin');
});

test('stop ends soon even if the client never reads nor closes', async (t) => {
  const server = await startServer(t, endless, 50);
  const socket = connect({ port: server.port, host: '127.0.0.1' });
  socket.on('error', () => {});
  t.after(() => socket.destroy());
  socket.write('GET / HTTP/1.1\r\n\r\n');
  socket.pause();
  await delay(50);
  const startedAt = performance.now();
  await server.stop();
  assert.ok(performance.now() - startedAt < 5_000);
});

test('stop is idempotent, also before start', async () => {
  const server = makeServer(sayOk, { host: '127.0.0.1', port: 0 });
  await server.stop();
  await server.stop();
});
