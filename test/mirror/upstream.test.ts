import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer, type Server } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { silentLogger } from '../../lib/base/log.ts';
import { Upstream } from '../../lib/mirror/upstream.ts';
import { listenLocally } from '../support/listen.ts';

function listen(t: TestContext, server: Server): Promise<string> {
  return listenLocally((stop) => t.after(stop), server);
}

function upstream(proxyEnvironment = {}, timeoutMs = 300): Upstream {
  return new Upstream({ log: silentLogger }, { proxyEnvironment, timeoutMs });
}

/** A plain registry that answers with `status` and counts. */
async function registry(t: TestContext, status: number) {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(`${request.url} ${request.headers.authorization ?? 'anonymous'}`);
    response.writeHead(status).end();
  });
  return { host: await listen(t, server), seen };
}

test('any status below 500 is an answer', async (t) => {
  for (const [status, expected] of [
    [200, true],
    [401, true],
    [404, true],
    [429, true],
    [500, false],
    [503, false],
  ] as const) {
    const { host, seen } = await registry(t, status);
    assert.equal(await upstream().answers(host), expected, String(status));
    const once = ['/v2/ anonymous'];
    assert.deepEqual(seen, expected ? once : [...once, ...once]);
  }
});

test('a TLS registry is asked over TLS, whatever its certificate', async (t) => {
  const server = createHttpsServer({ key: KEY, cert: CERTIFICATE }, (request, response) => {
    response.writeHead(request.url === '/v2/' ? 401 : 500).end();
  });
  assert.equal(await upstream().answers(await listen(t, server)), true);
});

test('a TLS alert is an answer: somebody speaks TLS there and wants it differently', async (t) => {
  // Without a certificate of its own the server has to give up the handshake.
  const address = await listen(t, createTlsServer({}));
  assert.equal(await upstream().answers(address), true);
  const urlsOf = async () => [`https://${address}`];
  const byHostsToml = new Upstream({ log: silentLogger, urlsOf }, { proxyEnvironment: {} });
  assert.equal(await byHostsToml.answers('registry.invalid'), true);
});

test('nobody, silence and garbage are no answer, in bounded time', async (t) => {
  const silent = await listen(
    t,
    createTcpServer(() => {}),
  );
  const closing = await listen(
    t,
    createTcpServer((socket) => socket.destroy()),
  );
  const garbage = await listen(
    t,
    createTcpServer((socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')),
  );
  for (const host of [silent, closing, garbage, '127.0.0.1:1', 'no-such-host.invalid']) {
    const startedAt = performance.now();
    assert.equal(await upstream().answers(host), false, host);
    assert.ok(performance.now() - startedAt < 2_000, host);
  }
});

test('one hiccup does not count', async (t) => {
  let count = 0;
  const server = createServer((_request, response) => {
    count += 1;
    response.writeHead(count === 1 ? 503 : 200).end();
  });
  assert.equal(await upstream().answers(await listen(t, server)), true);
});

test('the answer is kept for a while, and asked once at a time', async (t) => {
  const { host, seen } = await registry(t, 401);
  const check = upstream();
  assert.equal(check.known(host), undefined);
  await Promise.all(Array.from({ length: 20 }, () => check.answers(host)));
  await check.answers(host);
  assert.equal(check.known(host), true);
  assert.equal(seen.length, 1);
});

test('a proxy of the environment is used', async (t) => {
  const asked: string[] = [];
  const proxy = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(401).end();
  });
  proxy.on('connect', (request, socket) => {
    asked.push(`CONNECT ${request.url}`);
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
  });
  const address = await listen(t, proxy);
  const check = upstream({ HTTPS_PROXY: `http://${address}`, HTTP_PROXY: `http://${address}` });
  assert.equal(await check.answers('registry.invalid'), false);
  assert.equal(asked[0], 'CONNECT registry.invalid:443');
});

/** Made for this test: a key that signs nothing else. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQglcf63HQFKQ3paPMd
cawNX5ED7yfZNS0Xyf+xFDzBIL+hRANCAATQ/oJqdvWMvUXmfcg4jN7Z5BEw8spD
xgOaoJw79xagHJgdsaUzK8lskJxR0HgfZhXhm4ix5yaSTFyljT9sGO/Y
-----END PRIVATE KEY-----`;
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUVau8L8cZeY+vMTB/VMmWwG6lsLAwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjIxNDUzMThaGA8yMTI2MTAyOTE0NTMx
OFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABND+
gmp29Yy9ReZ9yDiM3tnkETDyykPGA5qgnDv3FqAcmB2xpTMryWyQnFHQeB9mFeGb
iLHnJpJMXKWNP2wY79ijUzBRMB0GA1UdDgQWBBQyzQYOjPi3s4kvTupQUvvr67dY
ozAfBgNVHSMEGDAWgBQyzQYOjPi3s4kvTupQUvvr67dYozAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIQDB7SIxhlRP9dMU36905ykHjDjEPrgRX4v0
cbPGnvL9vgIgf4Nk72d8it6tQ+1xYXa0AGR9o4oOk+9SXNiw60gPBcU=
-----END CERTIFICATE-----`;
