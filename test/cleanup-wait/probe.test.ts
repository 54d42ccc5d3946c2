import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { MAX_PROBE_ANSWER_BYTES, PROBE_TIMEOUT_MS } from '../../lib/cleanup-wait/constants.ts';
import { CLEANED_UP, NOT_CLEANED_UP, probe } from '../../lib/cleanup-wait/probe.ts';
import { listenLocally } from '../support/listen.ts';
import { endpoint, REFUSING, sayOk, serve, staySilent } from '../support/probe-hosts.ts';

const never = new AbortController().signal;
const OTHER = 'expected a spegel cleanup, got another program or an earlier release';
const ask = (address: string, signal = never) => probe(endpoint(address), '/healthz', signal);

/** A server that is not bound to HTTP: it acts when the request comes. */
function rawServer(t: TestContext, act: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => act(socket));
  });
  return listenLocally((stop) => t.after(stop), server);
}

for (const host of ['127.0.0.1', '127.0.0.2', '::1']) {
  test(`200 is success, over a connection that serves no other request: ${host}`, async (t) => {
    const seen: (string | undefined)[] = [];
    const address = await serve(
      t,
      (request, response) => {
        const { method, url, headers } = request;
        seen.push(method, url, headers.host, headers.connection);
        response.end(CLEANED_UP);
      },
      host,
    );
    assert.equal(await ask(address), undefined);
    assert.deepEqual(seen, ['GET', '/healthz', address, 'close']);
  });
}

test('an answer just within the bound is read, one byte more is not', async (t) => {
  const sized = (bytes: number): RequestListener => {
    return (_request, response) => response.end(Buffer.alloc(bytes));
  };
  assert.equal(await ask(await serve(t, sized(MAX_PROBE_ANSWER_BYTES))), OTHER);
  const tooLong = await serve(t, sized(MAX_PROBE_ANSWER_BYTES + 1));
  assert.equal(await ask(tooLong), 'answered more than 64 KiB');
});

test('200 after a 103 and without a length is success', async (t) => {
  const address = await rawServer(t, (socket) => {
    socket.end(`HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 200 OK\r\n\r\n${CLEANED_UP}`);
  });
  assert.equal(await ask(address), undefined);
});

test('another status is its own reason; a redirect is not followed', async (t) => {
  let followed = 0;
  const target = await serve(t, () => {
    followed += 1;
  });
  const statuses = [204, 302, 404, 500, 503];
  for (const status of statuses) {
    const address = await serve(t, (_request, response) => {
      response.writeHead(status, { Location: `http://${target}/healthz` }).end();
    });
    assert.equal(await ask(address), `answered ${status}`);
  }
  assert.equal(followed, 0);
});

/** What answers where a cleanup is expected, and what is said of it. */
const others: Record<string, [RequestListener, string]> = {
  'an empty 200': [(_request, response) => void response.end(), OTHER],
  'an earlier release of cleanup': [(_request, response) => void response.end('ok\n'), OTHER],
  'more than the text': [(_request, response) => void response.end(`${CLEANED_UP}.`), OTHER],
  'our registry': [
    (_request, response) => void response.setHeader('X-Spegel-Peer', 'x').end('ok'),
    'expected a spegel cleanup, got a registry',
  ],
  'our registry that waits for its store': [
    (_request, response) =>
      void response.writeHead(503, { 'X-Spegel-Peer': 'x' }).end('the content store'),
    'expected a spegel cleanup, got a registry',
  ],
  'another registry': [
    (_request, response) =>
      void response.setHeader('Docker-Distribution-Api-Version', 'registry/2.0').end(CLEANED_UP),
    'expected a spegel cleanup, got a registry',
  ],
  'a cleanup whose settings are back': [
    (_request, response) =>
      void response.writeHead(503).end(`${NOT_CLEANED_UP}back in /x\u001b[2J\n\tagain\n`),
    'back in /x [2J again',
  ],
  'a cleanup that says much': [
    (_request, response) => void response.writeHead(503).end(NOT_CLEANED_UP + 'x'.repeat(1_000)),
    `${'x'.repeat(300)}…`,
  ],
};
for (const [name, [answer, reason]] of Object.entries(others)) {
  test(`no yes: ${name}`, async (t) => {
    assert.equal(await ask(await serve(t, answer)), reason);
  });
}

test('no program listens: connection refused', async () => {
  assert.equal(await ask(REFUSING), 'connection refused');
});

/** Servers that hold the connection; each must cost its second and no more. */
const holders: Record<string, (socket: Socket) => void> = {
  'accepts and stays silent': () => {},
  'sends a head and no body': (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n');
  },
  'drips a head': (socket) => drip(socket, 'HTTP/1.1 200 OK\r\nA: ', 'a'),
  'drips a body': (socket) => {
    drip(socket, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '1\r\na\r\n');
  },
};

function drip(socket: Socket, start: string, drop: string): void {
  socket.write(start);
  const timer = setInterval(() => socket.write(drop), 50);
  socket.once('close', () => clearInterval(timer));
}

for (const [name, act] of Object.entries(holders)) {
  test(`no whole answer within a second: ${name}; the connection ends`, async (t) => {
    const closed = Promise.withResolvers<void>();
    const address = await rawServer(t, (socket) => {
      socket.once('close', () => closed.resolve());
      act(socket);
    });
    const startedAt = performance.now();
    assert.equal(await ask(address), 'no answer within 1 s');
    const took = performance.now() - startedAt;
    assert.ok(took > PROBE_TIMEOUT_MS - 50 && took < PROBE_TIMEOUT_MS + 3_000, `${took} ms`);
    await closed.promise;
  });
}

for (const status of [200, 503]) {
  test(`an answer that is judged before its end leaves no connection behind: ${status}`, async (t) => {
    const closed = Promise.withResolvers<void>();
    const address = await rawServer(t, (socket) => {
      socket.once('close', () => closed.resolve());
      const start = `HTTP/1.1 ${status} So\r\nTransfer-Encoding: chunked\r\n\r\n`;
      drip(socket, start, `ffff\r\n${'a'.repeat(0xffff)}\r\n`);
    });
    assert.match((await ask(address)) ?? 'success', /^answered (?:503|more than 64 KiB)$/);
    await closed.promise;
  });
}

/** What breaks off or is not HTTP. */
const broken: Record<string, [(socket: Socket) => void, string]> = {
  'closed without an answer': [(socket) => socket.end(), 'connection broke off'],
  reset: [(socket) => socket.resetAndDestroy(), 'connection broke off'],
  'a body cut short': [
    (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok'),
    'connection broke off',
  ],
  'another protocol': [(socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'), 'no HTTP answer'],
  'a head without end': [
    (socket) => socket.write(`HTTP/1.1 200 OK\r\nA: ${'a'.repeat(100_000)}`),
    'no HTTP answer',
  ],
};
for (const [name, [act, reason]] of Object.entries(broken)) {
  test(`a broken answer: ${name}`, async (t) => {
    assert.equal(await ask(await rawServer(t, act)), reason);
  });
}

test('a switch of protocols is no success', async (t) => {
  const address = await rawServer(t, (socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
  });
  assert.match((await ask(address)) ?? 'success', /no HTTP answer|connection broke off/);
});

test('an abort ends a probe at once, and one that has not begun asks no host', async (t) => {
  let asked = 0;
  const controller = new AbortController();
  const address = await serve(t, () => {
    asked += 1;
    controller.abort();
  });
  const startedAt = performance.now();
  assert.equal(await ask(address, controller.signal), 'no answer yet');
  assert.ok(performance.now() - startedAt < PROBE_TIMEOUT_MS, 'not only at the deadline');
  assert.equal(await ask(address, controller.signal), 'not asked yet');
  assert.equal(asked, 1);
});

test('many at once are no leak of listeners', async (t) => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  const controller = new AbortController();
  const address = await serve(t, staySilent);
  const fine = await serve(t, sayOk);
  const all = Array.from({ length: 20 }, () => ask(address, controller.signal));
  assert.equal(await ask(fine, controller.signal), undefined);
  controller.abort();
  assert.deepEqual(new Set(await Promise.all(all)), new Set(['no answer yet']));
  await once(process, 'warning', { signal: AbortSignal.timeout(50) }).catch(() => {});
  assert.deepEqual(warnings, []);
});
