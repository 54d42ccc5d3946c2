import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import { silentLogger } from '../../lib/base/log.ts';
import { HostCheck } from '../../lib/http/host-check.ts';
import { HttpServer } from '../../lib/http/server.ts';
import { openSocketOwner } from '../../lib/http/socket-owner.ts';
import { never, raw, sayOk, startServer } from './server-support.ts';

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

test('a request for another host by its name is refused each time, and the connection stays', async (t) => {
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
