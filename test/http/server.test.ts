import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type TestContext, test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import type { ListenAddress } from '../../lib/base/address.ts';
import { SpegelError } from '../../lib/base/errors.ts';
import { silentLogger } from '../../lib/base/log.ts';
import { BodyWriter } from '../../lib/http/body-writer.ts';
import { HostCheck } from '../../lib/http/host-check.ts';
import { type Handler, HttpServer } from '../../lib/http/server.ts';
import { openSocketOwner } from '../../lib/http/socket-owner.ts';

const never = new AbortController().signal;

function makeServer(handler: Handler, address: ListenAddress, drainMs = 100): HttpServer {
  const settings = { address, name: 'registry', option: '--registry-addr', drainMs };
  return new HttpServer({ handler, log: silentLogger }, settings);
}

async function startServer(t: TestContext, handler: Handler, drainMs?: number) {
  const server = makeServer(handler, { host: '127.0.0.1', port: 0 }, drainMs);
  await server.start(never);
  t.after(() => server.stop());
  return server;
}

const sayOk: Handler = (_request, response) => {
  response.end('ok');
};

interface Raw {
  readonly socket: Socket;
  /** What came, and how it ended. */
  readonly done: Promise<{ text: string; end: 'fin' | 'reset' }>;
}

function raw(port: number, send: string, allowHalfOpen = false): Raw {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen });
  let text = '';
  socket.on('data', (data) => {
    text += data.toString('latin1');
  });
  socket.write(send);
  const done = new Promise<{ text: string; end: 'fin' | 'reset' }>((resolve) => {
    socket.on('end', () => {
      socket.end();
      resolve({ text, end: 'fin' });
    });
    socket.on('error', () => resolve({ text, end: 'reset' }));
  });
  return { socket, done };
}

test('an address that cannot be used is explained in one line', async (t) => {
  const other = createServer();
  await new Promise<void>((resolve) => {
    other.listen(0, '127.0.0.1', resolve);
  });
  t.after(() => other.close());
  const taken = other.address();
  assert.ok(typeof taken === 'object' && taken !== null);
  const cases: [ListenAddress, RegExp][] = [
    [{ host: '127.0.0.1', port: taken.port }, /another process listens there; stop it/],
    [{ host: '192.0.2.1', port: 0 }, /no such address/],
    [{ host: 'no-such-host.invalid', port: 0 }, /choose another/],
  ];
  for (const [address, message] of cases) {
    await assert.rejects(makeServer(sayOk, address).start(never), (error) => {
      assert.ok(error instanceof SpegelError);
      assert.equal(error.code, 'ERR_LISTEN');
      assert.match(error.message, message);
      assert.match(error.message, /^expected .*, got .*--registry-addr$/);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
  }
});

test('without a host both families are served', async (t) => {
  const server = makeServer(sayOk, { host: '', port: 0 });
  await server.start(never);
  t.after(() => server.stop());
  assert.equal(await (await fetch(`http://127.0.0.1:${server.port}/`)).text(), 'ok');
  const hasIpv6 = networkInterfaces().lo?.some((info) => info.family === 'IPv6') ?? false;
  if (hasIpv6) assert.equal(await (await fetch(`http://[::1]:${server.port}/`)).text(), 'ok');
});

test('a handler that throws gives 500, or a clean end in mid-body, and the server lives', async (t) => {
  const server = await startServer(t, async (request, response) => {
    if (request.url === '/late') {
      response.writeHead(200, { 'Content-Length': 10 });
      response.write('abc');
    }
    await delay(10);
    throw new Error('broken handler');
  });
  const early = await raw(server.port, 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n').done;
  assert.match(early.text, /^HTTP\/1.1 500 .*broken handler/s);
  const late = await raw(server.port, 'GET /late HTTP/1.1\r\n\r\n').done;
  assert.match(late.text, /^HTTP\/1.1 200 .*abc$/s);
  assert.equal(late.end, 'fin');
});

test('what is no request is answered with an OCI error and a clean end', async (t) => {
  const server = await startServer(t, sayOk);
  const cases: [string, RegExp][] = [
    ['garbage\r\n\r\n', /^HTTP\/1.1 400 /],
    ['FOO / HTTP/1.1\r\n\r\n', /^HTTP\/1.1 400 /],
    ['GET / HTTP/9.9\r\n\r\n', /^HTTP\/1.1 400 /],
    [`GET / HTTP/1.1\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`, /^HTTP\/1.1 431 /],
    [`GET /${'a'.repeat(20_000)} HTTP/1.1\r\n\r\n`, /^HTTP\/1.1 431 /],
    ['CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', /^HTTP\/1.1 405 /],
    ['GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n', /^HTTP\/1.1 400 /],
    ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc', /^HTTP\/1.1 400 /],
  ];
  for (const [text, expected] of cases) {
    const { text: answer, end } = await raw(server.port, text).done;
    assert.match(answer, expected, text.slice(0, 40));
    assert.match(answer, /"errors":\[\{"code":/);
    assert.equal(end, 'fin', text.slice(0, 40));
  }
});

test('a flood of header bytes ends cleanly', async (t) => {
  const server = await startServer(t, sayOk);
  const { socket, done } = raw(server.port, 'GET / HTTP/1.1\r\n');
  for (let at = 0; at < 100; at += 1) socket.write(`X-${at}: ${'a'.repeat(10_000)}\r\n`);
  const { text, end } = await done;
  assert.match(text, /^HTTP\/1.1 431 /);
  assert.equal(end, 'fin');
});

test('pipelined requests are answered in order, a flood of them is ended', async (t) => {
  const server = await startServer(t, async (request, response) => {
    await delay(request.url === '/slow' ? 50 : 0);
    response.end(`<${request.url}>`);
  });
  const two = 'GET /slow HTTP/1.1\r\n\r\nGET /fast HTTP/1.1\r\nConnection: close\r\n\r\n';
  const { text } = await raw(server.port, two).done;
  assert.ok(text.indexOf('</slow>') < text.indexOf('</fast>') && text.includes('</slow>'), text);
  const flood = await raw(server.port, 'GET /slow HTTP/1.1\r\n\r\n'.repeat(1_000)).done;
  assert.ok(flood.text.length < 20_000);
});

test('a client that goes away aborts the signal of its request', async (t) => {
  const aborted = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  const server = await startServer(t, (_request, _response, signal) => {
    signal.addEventListener('abort', () => aborted.resolve());
    started.resolve();
    return aborted.promise;
  });
  const { socket } = raw(server.port, 'GET / HTTP/1.1\r\n\r\n');
  await started.promise;
  socket.destroy();
  await aborted.promise;
});

test('a half-closed client gets its answer or a clean end', async (t) => {
  const server = await startServer(t, async (request, response) => {
    await delay(request.url === '/slow' ? 50 : 0);
    response.end('ok');
  });
  for (const path of ['/', '/slow']) {
    const { socket, done } = raw(server.port, `GET ${path} HTTP/1.1\r\n\r\n`, true);
    socket.end();
    const { end } = await done;
    assert.equal(end, 'fin');
  }
});

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

test('a client that takes too long for its head is told so, cleanly', async (t) => {
  const settings = { address: { host: '127.0.0.1', port: 0 }, name: 'registry', option: '-' };
  const server = new HttpServer(
    { handler: sayOk, log: silentLogger },
    { ...settings, headMs: 100 },
  );
  await server.start(never);
  t.after(() => server.stop());
  const { text, end } = await raw(server.port, 'GET / HTTP/1.1\r\nX: slow').done;
  assert.match(text, /^HTTP\/1.1 400 .*"errors"/s);
  assert.equal(end, 'fin');
});

test('other hosts cannot take all connections from this one', async (t) => {
  let isOwn = false;
  const own = { has: () => isOwn };
  const settings = { address: { host: '127.0.0.1', port: 0 }, name: 'registry', option: '-' };
  const parts = { handler: sayOk, log: silentLogger, own };
  const server = new HttpServer(parts, { ...settings, maxConnections: { remote: 3 } });
  await server.start(never);
  t.after(() => server.stop());
  const held = [1, 2, 3].map(() => raw(server.port, ''));
  await delay(50);
  const refused = await raw(server.port, 'GET / HTTP/1.1\r\n\r\n').done;
  assert.match(refused.text, /^HTTP\/1.1 503 /);
  assert.equal(refused.end, 'fin');
  isOwn = true;
  assert.equal((await fetch(`http://127.0.0.1:${server.port}/`)).status, 200);
  isOwn = false;
  held[0]?.socket.destroy();
  await delay(50);
  const close = 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n';
  assert.match((await raw(server.port, close).done).text, /^HTTP\/1.1 200 /);
  for (const { socket } of held) socket.destroy();
});

test('a connection has one answer at a time: one that is not read holds up those behind it', async (t) => {
  const asked: string[] = [];
  const server = await startServer(t, (request, response) => {
    asked.push(request.url ?? '');
    response.end(Buffer.alloc(16 * 1024 * 1024));
  });
  const socket = connect({ port: server.port, host: '127.0.0.1' });
  t.after(() => socket.destroy());
  socket.pause();
  socket.write('GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n');
  await delay(200);
  assert.deepEqual(asked, ['/1']);
  socket.resume();
  for (let tries = 0; asked.length < 2 && tries < 250; tries += 1) await delay(20);
  assert.deepEqual(asked, ['/1', '/2']);
});

test('who asks for another host by its name is told so, once each time, and may go on', async (t) => {
  const names = { has: (name: string) => name === 'node1.example.com' };
  const hostCheck = new HostCheck({ log: silentLogger, names });
  const settings = { address: { host: '127.0.0.1', port: 0 }, name: 'registry', option: '-' };
  // Not this host's: its containerd may use any name.
  const own = { has: () => false };
  const server = new HttpServer({ handler: sayOk, log: silentLogger, own, hostCheck }, settings);
  await server.start(never);
  t.after(() => server.stop());
  const ask = (host: string) => `GET / HTTP/1.1\r\nHost: ${host}\r\n`;
  const close = 'Connection: close\r\n\r\n';
  const evil = `${ask('evil.example')}\r\n`;
  const { text } = await raw(server.port, `${evil}${ask('node1.example.com')}${close}`).done;
  assert.match(text, /^HTTP\/1.1 421 .*"code":"DENIED".*evil\.example.*HTTP\/1.1 200 /s);
  const none = await raw(server.port, `GET / HTTP/1.0\r\n${close}`).done;
  assert.match(none.text, /^HTTP\/1.1 200 /);
  const isRoot = process.geteuid?.() === 0;
  if (isRoot && openSocketOwner() !== undefined) {
    const mine = new HttpServer({ handler: sayOk, log: silentLogger, hostCheck }, settings);
    await mine.start(never);
    t.after(() => mine.stop());
    assert.match((await raw(mine.port, `${ask('evil.example')}${close}`).done).text, / 200 /);
  }
});

test('stop lets a running answer finish', async (t) => {
  const server = await startServer(
    t,
    async (_request, response) => {
      await delay(100);
      response.end('finished');
    },
    1_000,
  );
  const running = raw(server.port, 'GET / HTTP/1.1\r\n\r\n');
  const idle = raw(server.port, '');
  await delay(30);
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
