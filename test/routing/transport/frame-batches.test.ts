import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import type { Connection, Libp2p, Stream } from '@libp2p/interface';
import { createLibp2p } from 'libp2p';
import { waitUntil } from '../../../lab/processes/exec.ts';
import { keepAliveYamux } from '../../../lib/routing/transport/keepalive-yamux.ts';
import { guardedTcp } from '../../../lib/routing/transport/tcp.ts';

const PROTOCOL = '/test/1';
const MIB = 1024 * 1024;

/** The library's own yamux stands for a peer of the former release. */
async function startNode(t: TestContext, muxer: 'ours' | 'library'): Promise<Libp2p> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [guardedTcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [muxer === 'ours' ? keepAliveYamux() : yamux()],
    connectionMonitor: { enabled: false },
  });
  t.after(() => node.stop());
  return node;
}

interface Link {
  readonly connection: Connection;
  /** Of the node that dialled. */
  readonly stream: Stream;
  /** Its other end. */
  readonly other: Stream;
  /** System calls in which the node that dialled has written, since the link is there. */
  readonly writes: () => number;
  /** Bytes that the other end has got. */
  readonly got: () => Buffer;
}

async function link(from: Libp2p, to: Libp2p): Promise<Link> {
  const arrived = Promise.withResolvers<Stream>();
  await to.handle(PROTOCOL, (stream) => arrived.resolve(stream));
  const connection = await from.dial(to.getMultiaddrs());
  const stream = await connection.newStream(PROTOCOL);
  const other = await arrived.promise;
  const got: Uint8Array[] = [];
  other.addEventListener('message', ({ data }) => got.push(data.subarray()));
  stream.send(Buffer.from('first'));
  await waitUntil('the link is quiet', async () => Buffer.concat(got).length === 'first'.length);
  got.length = 0;
  const writes = countWrites(connection);
  return { connection, stream, other, writes, got: () => Buffer.concat(got) };
}

interface NoiseStream {
  readonly decoder: { lengthDecoder: (bytes: Uint8Array) => number };
}

function countWrites(connection: Connection): () => number {
  const { socket } = (connection as unknown as { maConn: { socket: Socket } }).maConn;
  let count = 0;
  for (const name of ['_write', '_writev'] as const) {
    const write = socket[name] as (...how: unknown[]) => void;
    Object.assign(socket, {
      [name]: (...how: unknown[]) => {
        count += 1;
        Reflect.apply(write, socket, how);
      },
    });
  }
  return () => count;
}

for (const peer of ['ours', 'library'] as const) {
  test(`what goes to a peer within one turn leaves in one write (peer: ${peer})`, async (t) => {
    const { stream, writes, got } = await link(
      await startNode(t, 'ours'),
      await startNode(t, peer),
    );
    const expected = Array.from({ length: 10 }, (_, index) => `message ${index};`);
    for (const text of expected) stream.send(Buffer.from(text));
    await waitUntil('all arrived', async () => got().toString() === expected.join(''));
    assert.equal(writes(), 1);
  });

  test(`small messages are not answered with window updates (peer: ${peer})`, async (t) => {
    const { other, stream, writes } = await link(
      await startNode(t, 'ours'),
      await startNode(t, peer),
    );
    let bytes = 0;
    stream.addEventListener('message', ({ data }) => {
      bytes += data.byteLength;
    });
    for (let index = 0; index < 50; index += 1) {
      other.send(Buffer.alloc(100));
      await nextTurn();
    }
    await waitUntil('all arrived', async () => bytes === 5_000);
    assert.equal(writes(), 0);
  });

  test(`more than a window goes both ways (peer: ${peer})`, async (t) => {
    const { other, stream, got } = await link(await startNode(t, 'ours'), await startNode(t, peer));
    let bytes = 0;
    stream.addEventListener('message', ({ data }) => {
      bytes += data.byteLength;
    });
    const sent = Buffer.alloc(2 * MIB, 'spegel');
    stream.send(sent);
    other.send(sent);
    await waitUntil('all arrived', async () => bytes === sent.length && got().equals(sent));
  });
}

test('a read makes no error where no further message has arrived', async (t) => {
  const { connection, other, stream } = await link(
    await startNode(t, 'ours'),
    await startNode(t, 'library'),
  );
  const { maConn } = (connection as unknown as { muxer: { maConn: NoiseStream } }).muxer;
  const thrown: unknown[] = [];
  const decode = maConn.decoder.lengthDecoder;
  maConn.decoder.lengthDecoder = (bytes) => {
    try {
      return decode(bytes);
    } catch (error) {
      thrown.push(error);
      throw error;
    }
  };
  let text = '';
  stream.addEventListener('message', ({ data }) => {
    text += Buffer.from(data.subarray()).toString();
  });
  for (const word of ['one ', 'two ']) {
    other.send(Buffer.from(word));
    await waitUntil(`${word} arrived`, async () => text.endsWith(word));
  }
  assert.equal(text, 'one two ');
  assert.ok(thrown.length > 1);
  assert.equal(new Set(thrown).size, 1);
});

test('what was sent before the connection is closed arrives', async (t) => {
  const { connection, stream, got } = await link(
    await startNode(t, 'ours'),
    await startNode(t, 'library'),
  );
  stream.send(Buffer.from('last words'));
  await connection.close();
  await waitUntil('it arrived', async () => got().toString() === 'last words');
});

test('a peer that is gone does not end the process', async (t) => {
  const { connection, stream, other } = await link(
    await startNode(t, 'ours'),
    await startNode(t, 'library'),
  );
  stream.send(Buffer.from('to nobody'));
  connection.abort(new Error('test'));
  await nextTurn();
  assert.throws(() => stream.send(Buffer.from('too late')));
  await waitUntil('the other end has noticed', async () => other.status !== 'open');
});
