import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import { raw, sayOk, startServer } from './server-support.ts';

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

test('what is no request, behind one that is answered, ends the body and is not in it', async (t) => {
  for (const more of ['CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', 'garbage\r\n\r\n']) {
    const isBegun = Promise.withResolvers<void>();
    const server = await startServer(t, async (_request, response, signal) => {
      response.writeHead(200, { 'Content-Length': 1_000 });
      response.write('body', () => isBegun.resolve());
      await once(signal, 'abort');
    });
    const { socket, done } = raw(server.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await isBegun.promise;
    socket.write(more);
    const { text, end } = await done;
    assert.match(text, /\r\n\r\nbody$/, more);
    assert.equal(end, 'fin');
  }
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
