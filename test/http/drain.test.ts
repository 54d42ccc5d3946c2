/** A server that stops answers new requests until it has ended: the next daemon may come late. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import { silentLogger } from '../../lib/base/log.ts';
import { HttpServer } from '../../lib/http/server.ts';

const ASK = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

/** A server whose answers end when the test says so. */
async function startSlow(t: TestContext, drainMs: number) {
  const finish = Promise.withResolvers<void>();
  const server = new HttpServer(
    {
      handler: async (_request, response) => {
        response.write('begun ');
        await finish.promise;
        response.end('finished');
      },
      log: silentLogger,
    },
    { address: { host: '127.0.0.1', port: 0 }, name: 'registry', option: '-', drainMs },
  );
  await server.start(new AbortController().signal);
  t.after(() => server.stop());
  const client = async () => {
    const socket = connect({ host: '127.0.0.1', port: server.port });
    t.after(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  };
  return { server, finish: finish.resolve, client };
}

test('while an answer runs, a new request gets 404 at once', async (t) => {
  const { server, finish, client } = await startSlow(t, 5_000);
  const running = await client();
  running.write(ASK);
  await once(running, 'readable');
  const stopped = server.stop();
  const late = await client();
  late.write(ASK);
  assert.match(await text(late), /^HTTP\/1\.1 404 .*Connection: close.*"errors"/s);
  finish();
  assert.match(await text(running), /finished/);
  await stopped;
});

test('a client that was accepted before the end is answered, one that says nothing is ended soon', async (t) => {
  const { server, client } = await startSlow(t, 5_000);
  const [connected, mute] = [await client(), await client()];
  await delay(50);
  const began = performance.now();
  const stopped = server.stop();
  await delay(50);
  connected.write(ASK);
  assert.match(await text(connected), /^HTTP\/1\.1 404 /);
  assert.equal(await text(mute), '');
  await stopped;
  const ms = performance.now() - began;
  assert.ok(ms < 2_000, `${ms} ms`);
});

test('an answer that does not end is ended with the time, and requests until then are answered', async (t) => {
  const { server, client } = await startSlow(t, 400);
  const running = await client();
  running.write(ASK);
  await once(running, 'readable');
  const stopped = server.stop();
  await delay(200);
  const late = await client();
  late.write(ASK);
  assert.match(await text(late), /^HTTP\/1\.1 404 /);
  await stopped;
  assert.doesNotMatch(await text(running), /finished/);
});
