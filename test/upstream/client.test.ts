import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer as createTcpServer } from 'node:net';
import { test } from 'node:test';
import { UpstreamClient } from '../../lib/upstream/client.ts';
import { listenLocally } from '../support/listen.ts';
import { clientWith, endpoint, NO_PROXY } from './support.ts';

const PING = { method: 'GET', path: '/' } as const;

test('if one address family is dead, the other is used', async (t) => {
  const server = createServer((_request, response) => response.end('{}'));
  const address = await listenLocally((stop) => t.after(stop), server);
  const port = address.split(':')[1];
  for (const found of [
    [
      { address: '::1', family: 6 },
      { address: '127.0.0.1', family: 4 },
    ],
    [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ],
  ] as const) {
    const proxy = { containerdProxy: () => NO_PROXY };
    const client = new UpstreamClient({ proxy, lookUpHost: async () => [...found] });
    const answer = await client.ask(
      endpoint(`registry.test:${port}`),
      PING,
      AbortSignal.timeout(5_000),
    );
    assert.equal(answer.status, 200);
  }
});

test('a handshake of a second is not a failure', async (t) => {
  const cleanup = (stop: () => void) => t.after(stop);
  const options = { key: KEY, cert: CERTIFICATE };
  const tls = createHttpsServer(options, (_request, response) => response.end('{}'));
  const port = Number((await listenLocally(cleanup, tls)).split(':')[1]);
  const slow = createTcpServer((socket) => {
    const timer = setTimeout(() => {
      const through = connect(port, '127.0.0.1').on('error', () => socket.destroy());
      socket.pipe(through).pipe(socket);
    }, 1_000);
    socket.on('error', () => {}).once('close', () => clearTimeout(timer));
  });
  const address = await listenLocally(cleanup, slow);
  const place = endpoint(address, { baseUrl: `https://${address}/v2`, skipVerify: true });
  assert.equal((await clientWith().ask(place, PING, AbortSignal.timeout(5_000))).status, 200);
  // Without that setting the certificate is not trusted, but the server is there.
  const strict = clientWith().ask(
    { ...place, skipVerify: false },
    PING,
    AbortSignal.timeout(5_000),
  );
  await assert.rejects(strict, { reason: 'tls', speaksTls: true });
});

/** A key for this test only. */
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

test('101 without an upgrade in the request fails at once', async (t) => {
  const server = createTcpServer((socket) => {
    const upgraded =
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n';
    socket.once('data', () => socket.end(upgraded));
  });
  const address = await listenLocally((stop) => t.after(stop), server);
  const asked = clientWith().ask(
    endpoint(address),
    { method: 'GET', path: '/v2/' },
    new AbortController().signal,
  );
  await assert.rejects(asked, { name: 'UpstreamFailure', reason: 'closed' });
});
