import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import { collect } from '../../lib/http/body.ts';
import { BufferPool } from '../../lib/http/buffers.ts';
import { BODY_SILENCE_MS } from '../../lib/http/constants.ts';
import { PeerConnections } from '../../lib/http/peer-connections.ts';
import type { Watch } from '../../lib/http/peer-silence.ts';
import { RawExchange } from '../../lib/http/raw-exchange.ts';
import { listenLocally } from '../support/listen.ts';

const connections = new PeerConnections(
  new BufferPool({ largeBytes: 1024, maxLarge: 16, smallBytes: 256 }),
);
const never = new AbortController().signal;

function serverThat(t: TestContext, act: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => act(socket));
  });
  return listenLocally((stop) => t.after(stop), server);
}

function get(address: string, signal: AbortSignal = never) {
  return RawExchange.open({ address, method: 'GET', path: '/', headers: {} }, connections, signal);
}

const failsWith = (kind: string) => (error: unknown) => {
  assert.equal((error as { kind?: string }).kind, kind);
  return true;
};

test('a body comes whole, larger than the buffer', async (t) => {
  const body = Buffer.alloc(100_000, 'x');
  const address = await serverThat(t, (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.byteLength}\r\n\r\n`);
    socket.write(body);
  });
  const { head, exchange } = await get(address);
  t.after(() => exchange.close());
  assert.ok((await collect(exchange, head.contentLength)).equals(body));
});

test('bytes beyond the promised length are not handed out', async (t) => {
  const address = await serverThat(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef');
  });
  const { exchange } = await get(address);
  t.after(() => exchange.close());
  assert.equal((await collect(exchange, 3)).toString(), 'abc');
  assert.equal(await exchange.next(), undefined);
});

test('each way to fail has its kind', async (t) => {
  const cases: Record<string, (socket: Socket) => void> = {
    reset: (socket) => socket.resetAndDestroy(),
    invalid: (socket) => socket.write('HTTP/1.1 100 Continue\r\n\r\n'),
  };
  for (const [kind, act] of Object.entries(cases)) {
    await assert.rejects(get(await serverThat(t, act)), failsWith(kind), kind);
  }
  await assert.rejects(get(await serverThat(t, (socket) => socket.end())), failsWith('reset'));
  await assert.rejects(get('127.0.0.1:1'), failsWith('unreachable'));
  await assert.rejects(get('nonsense'), failsWith('unreachable'));
  const silent = await serverThat(t, () => {});
  await assert.rejects(get(silent, AbortSignal.timeout(30)), failsWith('silent'));
});

test('a promise without a first byte is no answer', async (t) => {
  const address = await serverThat(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n');
  });
  await assert.rejects(get(address, AbortSignal.timeout(50)), failsWith('silent'));
});

test('a body that stops is noticed: frozen, short, reset', async (t) => {
  const cases: Record<string, (socket: Socket) => void> = {
    silent: () => {},
    short: (socket) => socket.end(),
    reset: (socket) => setTimeout(() => socket.resetAndDestroy(), 20),
  };
  for (const [kind, act] of Object.entries(cases)) {
    const address = await serverThat(t, (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc');
      act(socket);
    });
    const { exchange } = await get(address);
    assert.equal(Buffer.from((await exchange.next()) ?? []).toString(), 'abc');
    await assert.rejects(exchange.next(), failsWith(kind), kind);
    exchange.close();
  }
});

test('time in which we do not read does not count against the peer', async (t) => {
  const address = await serverThat(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc');
    setTimeout(() => socket.write('def'), BODY_SILENCE_MS + 500);
  });
  const { exchange } = await get(address);
  t.after(() => exchange.close());
  await exchange.next();
  await delay(BODY_SILENCE_MS + 200);
  assert.equal(Buffer.from((await exchange.next()) ?? []).toString(), 'def');
});

test('a peer that only keeps the silence from running out is left', async (t) => {
  const address = await serverThat(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\na');
    const drip = setInterval(() => socket.write('a'), 200);
    socket.on('close', () => clearInterval(drip));
  });
  const { exchange } = await get(address);
  t.after(() => exchange.close());
  await assert.rejects(collect(exchange, 1000), failsWith('silent'));
});

/** A peer that answers with `head` and `abc`, and then does as told. */
function watched(t: TestContext, act: (socket: Socket) => void, first = 'abc') {
  return serverThat(t, (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n${first}`);
    act(socket);
  });
}

function openWatched(address: string, watch: Watch, signal: AbortSignal = never) {
  const request = { address, method: 'GET', path: '/', headers: {} } as const;
  return RawExchange.open(request, connections, signal, watch);
}

test('a watch says whether a silent peer is waited for, and how long', async (t) => {
  const asked: number[] = [];
  const watch: Watch = {
    async onSilence(_head, silentMs) {
      asked.push(silentMs);
      return silentMs < 1_300 ? 1_300 : 'stalled';
    },
    failureOf: (_head, kind) => kind,
  };
  for (const first of ['abc', '']) {
    asked.length = 0;
    const opening = openWatched(await watched(t, () => {}, first), watch);
    if (first === '') {
      await assert.rejects(opening, failsWith('stalled'));
    } else {
      const { exchange } = await opening;
      await exchange.next();
      await assert.rejects(exchange.next(), failsWith('stalled'));
      exchange.close();
    }
    // Timers may come a little early, and late on a busy machine.
    const [soonest = 0] = asked;
    assert.ok(soonest > BODY_SILENCE_MS - 10 && (asked.at(-1) ?? 0) >= 1_300, asked.join());
    assert.ok(asked.length <= 3 && (asked.at(-1) ?? 0) < 2 * BODY_SILENCE_MS - 50, asked.join());
  }
});

test('bytes that come while the watch is asked count', async (t) => {
  const answer = Promise.withResolvers<'silent'>();
  let socketOfPeer: Socket | undefined;
  const address = await watched(t, (socket) => {
    socketOfPeer = socket;
  });
  const watch: Watch = {
    onSilence: () => {
      socketOfPeer?.write('def');
      return answer.promise;
    },
    failureOf: (_head, kind) => kind,
  };
  const { exchange } = await openWatched(address, watch);
  t.after(() => exchange.close());
  await exchange.next();
  assert.equal(Buffer.from((await exchange.next()) ?? []).toString(), 'def');
  answer.resolve('silent');
  await delay(10);
  socketOfPeer?.write('ghi');
  assert.equal(Buffer.from((await exchange.next()) ?? []).toString(), 'ghi');
});

test('with a watch the head is due, and the end is judged by it', async (t) => {
  const watch: Watch = { onSilence: async () => 'invalid', failureOf: () => 'stalled' };
  const startedAt = performance.now();
  await assert.rejects(openWatched(await serverThat(t, () => {}), watch), failsWith('silent'));
  assert.ok(performance.now() - startedAt < BODY_SILENCE_MS + 300);
  const ending = await watched(t, (socket) => socket.end(), '');
  await assert.rejects(openWatched(ending, watch), failsWith('stalled'));
});
