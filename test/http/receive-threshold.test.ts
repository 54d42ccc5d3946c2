/** A body that comes fast wakes us for much at once: what must come at once nevertheless. */
import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { AVAILABLE_HEADER } from '../../lib/base/spegel-headers.ts';
import { BufferPool } from '../../lib/http/buffers.ts';
import { MIN_THRESHOLD_BYTES, RELAY_BUFFERS, RELAY_PIECE_BYTES } from '../../lib/http/constants.ts';
import type { ConnectionReader } from '../../lib/http/peer-connection.ts';
import { PeerConnections } from '../../lib/http/peer-connections.ts';
import { RawExchange } from '../../lib/http/raw-exchange.ts';
import { listenLocally } from '../support/listen.ts';
import { SO_RCVLOWAT, socketOption } from './socket-options.ts';

const MIB = 1024 * 1024;
/** Takes longer than the rate is measured for, and comes faster than MIN_THRESHOLD_BYTES ask. */
const FAST = Buffer.alloc(64 * MIB, 'x');
/** A request that hangs is the failure that these tests look for. */
const inTime = () => AbortSignal.timeout(10_000);

/** Connections whose sockets the test may look at. */
class WatchedConnections extends PeerConnections {
  readonly sockets: Socket[] = [];

  override take(address: string, reader: ConnectionReader) {
    const connection = super.take(address, reader);
    this.sockets.push(connection.socket);
    return connection;
  }

  /** What the kernel waits for at the last one that was taken. */
  threshold(): number {
    const socket = this.sockets.at(-1);
    assert.ok(socket);
    return socketOption(socket, SO_RCVLOWAT);
  }
}

/** A peer that answers with `length` bytes and sends FAST of them; the test sends the rest. */
async function fastBody(t: TestContext, length: number, header = '') {
  const peer: { socket: Socket | undefined } = { socket: undefined };
  const server = createServer((socket) => {
    peer.socket = socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\n${header}Content-Length: ${length}\r\n\r\n`);
      socket.write(FAST);
    });
  });
  const address = await listenLocally((stop) => t.after(stop), server);
  const connections = new WatchedConnections(new BufferPool(RELAY_BUFFERS));
  t.after(() => connections.close());
  const request = { address, method: 'GET', path: '/', headers: {} } as const;
  const { exchange } = await RawExchange.open(request, connections, inTime());
  t.after(() => exchange.close());
  let most = 0;
  await take(exchange, FAST.length, () => {
    most = Math.max(most, connections.threshold());
  });
  assert.ok(peer.socket);
  return { exchange, connections, request, peer: peer.socket, most };
}

/** Takes so many bytes, and no piece beyond. */
async function take(exchange: RawExchange, length: number, onWait = () => {}): Promise<string> {
  let text = '';
  for (let count = 0; count < length; ) {
    const next = exchange.next();
    onWait();
    const piece = await next;
    assert.ok(piece);
    count += piece.byteLength;
    if (length < MIB) text += Buffer.from(piece).toString();
    assert.ok(count <= length);
  }
  return text;
}

test('a fast body is waited for in pieces, as large as one read takes', async (t) => {
  const { most } = await fastBody(t, 2 * FAST.length);
  assert.ok(most > MIN_THRESHOLD_BYTES && most <= RELAY_PIECE_BYTES, `${most} bytes`);
});

test('few bytes in the middle of a fast body come, though the peer sends no more', async (t) => {
  const { exchange, connections, peer } = await fastBody(t, 2 * FAST.length);
  for (const text of ['few', 'more']) {
    const next = exchange.next();
    if (text === 'few') assert.ok(connections.threshold() > MIN_THRESHOLD_BYTES);
    peer.write(text);
    assert.equal(Buffer.from((await next) ?? []).toString(), text);
  }
});

test('few bytes before the end or a reset of the connection: both are told', async (t) => {
  const ends: Record<string, (socket: Socket) => void> = {
    short: (socket) => socket.end('few'),
    reset: (socket) => socket.resetAndDestroy(),
  };
  for (const [kind, end] of Object.entries(ends)) {
    const { exchange, connections, peer } = await fastBody(t, 2 * FAST.length);
    const next = exchange.next();
    assert.ok(connections.threshold() > MIN_THRESHOLD_BYTES);
    end(peer);
    if (kind === 'short') assert.equal(Buffer.from((await next) ?? []).toString(), 'few');
    const failed = kind === 'short' ? exchange.next() : next;
    await assert.rejects(failed, (error) => (error as { kind?: string }).kind === kind);
  }
});

test('no more is waited for than is due, and a small answer comes behind it', async (t) => {
  const rest = 20_000;
  const { exchange, connections, peer, request } = await fastBody(t, FAST.length + rest);
  const last = take(exchange, rest);
  const threshold = connections.threshold();
  assert.ok(threshold >= MIN_THRESHOLD_BYTES && threshold <= rest, `${threshold} bytes`);
  peer.write('y'.repeat(rest));
  assert.equal((await last).length, rest);
  exchange.close();
  peer.once('data', () => peer.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc'));
  const small = await RawExchange.open(request, connections, inTime());
  t.after(() => small.exchange.close());
  assert.equal(connections.sockets[0], connections.sockets[1]);
  assert.equal(await take(small.exchange, 3), 'abc');
});

test('what a peer itself still downloads comes as it is sent', async (t) => {
  const { most } = await fastBody(t, 2 * FAST.length, `${AVAILABLE_HEADER}: ${FAST.length}\r\n`);
  assert.equal(most, 1);
});
