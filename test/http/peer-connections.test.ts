/** Connections to peers that are kept: when one is, and what must never come of it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { waitUntil } from '../../lab/processes/exec.ts';
import { collect } from '../../lib/http/body.ts';
import { BufferPool } from '../../lib/http/buffers.ts';
import { BODY_SILENCE_MS, KEPT_MS, MAX_KEPT, MAX_KEPT_PER_PEER } from '../../lib/http/constants.ts';
import { PeerConnections } from '../../lib/http/peer-connections.ts';
import type { Watch } from '../../lib/http/peer-silence.ts';
import { RawExchange } from '../../lib/http/raw-exchange.ts';
import { listenLocally } from '../support/listen.ts';
import { never, startServer } from './server-support.ts';

const SIZES = { largeBytes: 1024, maxLarge: 1, smallBytes: 256 };
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc';

/** Answers request `index` of connection `connection`, both from 0. */
type Act = (socket: Socket, index: number, connection: number) => unknown;

/** A peer on `host`, with the number of connections that were made to it. */
async function peerThat(t: TestContext, act: Act, host?: string) {
  const peer = { address: '', connections: 0, sockets: [] as Socket[] };
  const server = createServer((socket) => {
    const connection = peer.connections;
    peer.connections += 1;
    peer.sockets.push(socket);
    socket.on('error', () => {});
    let index = 0;
    // A request fits into one piece, and none comes before the answer to the last one.
    socket.on('data', () => {
      act(socket, index, connection);
      index += 1;
    });
  });
  peer.address = await listenLocally((stop) => t.after(stop), server, host);
  return peer;
}

function start(t: TestContext) {
  const buffers = new BufferPool(SIZES);
  const connections = new PeerConnections(buffers);
  t.after(() => connections.close());
  const open = (address: string, { method = 'GET' as 'GET' | 'HEAD', signal = never } = {}) =>
    RawExchange.open({ address, method, path: '/', headers: {} }, connections, signal);
  const get = async (address: string, options: Parameters<typeof open>[1] = {}) => {
    const { head, exchange } = await open(address, options);
    try {
      const isRead = head.status === 200 && options.method !== 'HEAD';
      const body = isRead ? (await collect(exchange, head.contentLength)).toString() : '';
      return `${head.status} ${body}`;
    } finally {
      exchange.close();
    }
  };
  return { buffers, connections, open, get };
}

const failsWith = (kind: string) => (error: unknown) =>
  assert.equal((error as { kind?: string }).kind, kind) === undefined;

test('answers of all kinds come over one connection, one after the other', async (t) => {
  const long = 'x'.repeat(100_000);
  const answers = [
    OK,
    `HTTP/1.1 200 OK\r\nContent-Length: ${long.length}\r\n\r\n${long}`,
    'HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone',
    'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 204 No Content\r\n\r\n',
    OK,
  ];
  const peer = await peerThat(t, (socket, index) => socket.write(answers[index] ?? ''));
  const { get, connections } = start(t);
  const got: string[] = [];
  for (const _ of answers) got.push(await get(peer.address));
  assert.deepEqual(got, ['200 abc', `200 ${long}`, '404 ', '200 ', '204 ', '200 abc']);
  assert.equal(peer.connections, 1);
  assert.equal(connections.kept(peer.address), 1);
});

test('behind a HEAD the connection is kept as well', async (t) => {
  const peer = await peerThat(t, (socket) =>
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n'),
  );
  const { get } = start(t);
  for (let count = 0; count < 3; count += 1) await get(peer.address, { method: 'HEAD' });
  assert.equal(peer.connections, 1);
});

test('a connection is kept for as long as the peer says, and not at all where it ends it', async (t) => {
  for (const [field, isKept] of [
    ['Connection: close', false],
    ['Connection: Foo, Close', false],
    ['Keep-Alive: timeout=0', false],
    ['Keep-Alive: timeout=1', false],
    ['Keep-Alive: max=5, timeout=1, x', false],
    ['Keep-Alive: timeout=120', true],
    ['Keep-Alive: timeout=nonsense', true],
    ['Connection: keep-alive', true],
  ] as const) {
    const peer = await peerThat(t, (socket) =>
      socket.write(`HTTP/1.1 200 OK\r\n${field}\r\nContent-Length: 3\r\n\r\nabc`),
    );
    const { get, connections } = start(t);
    await get(peer.address);
    assert.equal(connections.kept(), isKept ? 1 : 0, field);
  }
});

test('an idle connection is closed when its time is over', async (t) => {
  const peer = await peerThat(t, (socket) =>
    socket.write('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 3\r\n\r\nabc'),
  );
  const { get, connections } = start(t);
  await get(peer.address);
  assert.equal(connections.kept(), 1);
  const [socket] = peer.sockets;
  assert.ok(socket !== undefined && KEPT_MS > 2_000);
  await once(socket, 'close');
  assert.equal(connections.kept(), 0);
});

test('what a peer sends beyond its answer is never the answer to the next request', async (t) => {
  const lie = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nlie';
  const ways: Record<string, (socket: Socket) => void> = {
    'with it': (socket) => socket.write(OK + lie),
    'a byte with it': (socket) => socket.write(`${OK}x`),
    'in pieces': (socket) => {
      socket.write(OK.slice(0, -1));
      setTimeout(() => socket.write(`c${lie}`), 20);
    },
    'behind it': (socket) => {
      socket.write(OK);
      setTimeout(() => socket.write(lie), 20);
    },
  };
  for (const [way, act] of Object.entries(ways)) {
    const sent = Promise.withResolvers<void>();
    const peer = await peerThat(t, (socket, _, connection) => {
      if (connection > 0) socket.write(OK);
      else act(socket);
      socket.once('close', sent.resolve);
    });
    const { get } = start(t);
    assert.equal(await get(peer.address), '200 abc', way);
    await sent.promise;
    assert.equal(await get(peer.address), '200 abc', way);
    assert.equal(peer.connections, 2, way);
  }
});

test('bytes that are there before the request are not its answer, read or not', async (t) => {
  const peer = await peerThat(t, (socket) => socket.write(OK));
  const { get, connections } = start(t);
  await get(peer.address);
  const [socket] = peer.sockets;
  // The kernel has them when the write has called back; this process may not have read them yet.
  await new Promise((resolve) =>
    socket?.write('HTTP/1.1 404 Lie\r\nContent-Length: 0\r\n\r\n', resolve),
  );
  assert.equal(await get(peer.address), '200 abc');
  assert.equal(peer.connections, 2);
  assert.equal(connections.kept(), 1);
});

for (const [how, close] of [
  ['ended', (socket: Socket) => socket.end()],
  ['reset', (socket: Socket) => socket.resetAndDestroy()],
] as const) {
  test(`a kept connection that the peer has ${how} is not used`, async (t) => {
    const peer = await peerThat(t, (socket) => socket.write(OK));
    const { get, connections } = start(t);
    await get(peer.address);
    for (const socket of peer.sockets) close(socket);
    await waitUntil('it is closed here as well', () => connections.kept() === 0);
    assert.equal(await get(peer.address), '200 abc');
    assert.equal(peer.connections, 2);
  });

  test(`a kept connection that is ${how} when the request comes: it is asked anew, once`, async (t) => {
    let isGone = false;
    const peer = await peerThat(t, (socket, index) => {
      if (index > 0 || isGone) close(socket);
      else socket.write(OK);
    });
    const { get, connections } = start(t);
    await get(peer.address);
    assert.equal(await get(peer.address), '200 abc');
    assert.equal(peer.connections, 2);
    isGone = true;
    await assert.rejects(get(peer.address), failsWith('reset'));
    assert.equal(peer.connections, 3);
    assert.equal(connections.kept(), 0);
  });
}

test('half an answer over a kept connection is a failure, and not asked for again', async (t) => {
  const peer = await peerThat(t, (socket, index) => {
    if (index === 0) socket.write(OK);
    else socket.end('HTTP/1.1 200 O');
  });
  const { get } = start(t);
  await get(peer.address);
  await assert.rejects(get(peer.address), failsWith('reset'));
  assert.equal(peer.connections, 1);
});

test('a frozen peer is found out over a kept connection in the same time, and all are closed', async (t) => {
  const peer = await peerThat(t, (socket, index) => {
    if (index === 0) socket.write(OK);
  });
  const { open, get, connections } = start(t);
  const first = await Promise.all([open(peer.address), open(peer.address), open(peer.address)]);
  for (const { exchange } of first) exchange.close();
  assert.equal(connections.kept(), 3);
  await assert.rejects(get(peer.address, { signal: AbortSignal.timeout(50) }), failsWith('silent'));
  assert.equal(connections.kept(), 0);
  await get(peer.address);
  const watch: Watch = { onSilence: async () => 'invalid', failureOf: () => 'stalled' };
  const request = { address: peer.address, method: 'GET', path: '/', headers: {} } as const;
  const startedAt = performance.now();
  await assert.rejects(RawExchange.open(request, connections, never, watch), failsWith('silent'));
  assert.ok(performance.now() - startedAt < BODY_SILENCE_MS + 300);
  assert.equal(peer.connections, 4);
});

test('a connection in the middle of a body is not kept', async (t) => {
  const peer = await peerThat(t, (socket) =>
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc'),
  );
  const { open, connections } = start(t);
  const { exchange } = await open(peer.address);
  exchange.close();
  const late = new AbortController();
  const opened = await open(peer.address, { signal: late.signal });
  late.abort();
  opened.exchange.close();
  assert.equal(connections.kept(), 0);
  assert.equal(peer.connections, 2);
});

test('few are kept for one peer, and the oldest of all makes room', async (t) => {
  const { open, get, connections } = start(t);
  const peer = await peerThat(t, (socket) => socket.write(OK), '0.0.0.0');
  const port = peer.address.split(':').at(-1);
  const of = (host: number) => `127.0.0.${host}:${port}`;
  const many = await Promise.all(Array.from({ length: MAX_KEPT_PER_PEER + 2 }, () => open(of(1))));
  for (const { exchange } of many) exchange.close();
  assert.equal(connections.kept(of(1)), MAX_KEPT_PER_PEER);
  for (let host = 2; host < MAX_KEPT + 2; host += 1) {
    await get(of(host));
    assert.ok(connections.kept() <= MAX_KEPT);
  }
  assert.deepEqual([connections.kept(of(1)), connections.kept(of(2))], [0, 1]);
  const isOpen = () => peer.sockets.filter((socket) => !socket.destroyed).length;
  await waitUntil('the peer sees the others closed', () => isOpen() === MAX_KEPT);
  connections.close();
  await get(of(1));
  assert.equal(connections.kept(), 0);
  await waitUntil('the peer sees all closed', () => isOpen() === 0);
});

test('an idle connection and a small body hold no buffer', async (t) => {
  const peer = await peerThat(t, (socket, index) =>
    index === 0
      ? socket.write(OK)
      : socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n${'x'.repeat(200_000)}`),
  );
  const { buffers, open, get, connections } = start(t);
  const small = await open(peer.address);
  assert.equal(buffers.isCrowded, false);
  small.exchange.close();
  assert.equal((await get(peer.address)).length, 200_004);
  assert.equal(buffers.isCrowded, false);
  assert.equal(connections.kept(), 1);
});

test('a server that stops does not wait for the connections that are kept to it', async (t) => {
  const server = await startServer(t, (_, response) => {
    response.end('abc');
  });
  const { get, connections } = start(t);
  await get(`127.0.0.1:${server.port}`);
  assert.equal(connections.kept(), 1);
  await server.stop();
  assert.equal(connections.kept(), 0);
});
