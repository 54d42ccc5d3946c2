/** Streams of framed messages, which peers cut as they like: both ends. */
import assert from 'node:assert/strict';
import type { Connection, Stream } from '@libp2p/interface';
import { streamPair } from '@libp2p/utils';
import { multiaddr } from '@multiformats/multiaddr';
import fc from 'fast-check';
import { silentLogger } from '../../lib/base/log.ts';
import { FrameReader, frame } from '../../lib/routing/dht/frames.ts';
import { QuestionBudget } from '../../lib/routing/dht/question-budget.ts';
import { serveRpc } from '../../lib/routing/dht/rpc-server.ts';
import { RpcStream } from '../../lib/routing/dht/rpc-stream.ts';
import { fuzz, fuzzer } from './fuzzer.ts';
import { cuts, mutatedBytes, pieces } from './mutations.ts';

const MAX_BYTES = 1_000;
/** The other side of a connection, as far as `serveRpc` looks. */
const connection = {
  remotePeer: 'a peer',
  remoteAddr: multiaddr('/ip4/10.1.2.3/tcp/5001'),
} as unknown as Connection;

const message = fc.uint8Array({ maxLength: MAX_BYTES });
const messages = fc.array(message, { maxLength: 6 });
const framed = (list: readonly Uint8Array[]) => Buffer.concat(list.map(frame));
const stream = mutatedBytes(messages.map(framed));

/** What a reader gives of pieces, and whether it throws in the end. */
function read(parts: readonly Uint8Array[]): { given: string[]; hasThrown: boolean } {
  const reader = new FrameReader(MAX_BYTES);
  const given: string[] = [];
  try {
    for (const part of parts)
      for (const one of reader.push(part)) given.push(Buffer.from(one).toString('hex'));
  } catch (error) {
    assert.ok(error instanceof RangeError);
    return { given, hasThrown: true };
  }
  return { given, hasThrown: false };
}

/**
 * Sends pieces and resolves with all that the other side sends until it ends or resets the stream.
 */
async function said(stream: Stream, parts: readonly Uint8Array[]): Promise<Buffer> {
  const heard: Uint8Array[] = [];
  stream.addEventListener('message', ({ data }) => heard.push(data.subarray()));
  const over = new Promise<void>((resolve) => {
    stream.addEventListener('close', () => resolve());
    stream.addEventListener('remoteCloseWrite', () => resolve());
  });
  for (const part of parts) if (stream.status === 'open') stream.send(part);
  await Promise.race([stream.close().catch(() => {}), over]);
  await over;
  return Buffer.concat(heard);
}

/**
 * What this host answers a peer that sends these pieces: each message as it came, an empty one
 * never.
 */
async function answersTo(parts: readonly Uint8Array[]): Promise<string> {
  const [ours, theirs] = await streamPair();
  const served = serveRpc(ours, connection, {
    log: silentLogger,
    name: 'echo',
    maxRequestBytes: MAX_BYTES,
    budget: new QuestionBudget(),
    answer: (_from, bytes) => {
      if (bytes[0] === 0xff) throw new Error('not spoken here');
      return bytes.length === 0 ? undefined : bytes;
    },
  });
  const answers = await said(theirs, parts);
  await served;
  return answers.toString('hex');
}

/** What a question is answered with when the peer sends these pieces. */
async function answerOf(parts: readonly Uint8Array[]): Promise<string> {
  const [ours, theirs] = await streamPair();
  const channel = new RpcStream(async () => ours, {
    decode: (bytes) => Buffer.from(bytes).toString('hex'),
    maxAnswerBytes: MAX_BYTES,
    maxPending: 4,
    answerTimeoutMs: 60_000,
  });
  theirs.addEventListener('message', () => {
    for (const part of parts) if (theirs.status === 'open') theirs.send(part);
    theirs.close().catch(() => {});
  });
  try {
    return await channel.exchange(frame(Buffer.from('a question')));
  } catch (error) {
    assert.ok(error instanceof Error);
    return 'none';
  } finally {
    channel.close();
    theirs.abort(new Error('done'));
  }
}

fuzz(import.meta.filename, [
  fuzzer('FrameReader: cuts do not change what is read', fc.tuple(stream, cuts), ([bytes, at]) => {
    assert.deepEqual(read(pieces(bytes, at)), read([bytes]));
  }),

  fuzzer('FrameReader: what was framed comes out', fc.tuple(messages, cuts), ([list, at]) => {
    const given = list.map((one) => Buffer.from(one).toString('hex'));
    assert.deepEqual(read(pieces(framed(list), at)), { given, hasThrown: false });
  }),

  fuzzer(
    'FrameReader: a message in single bytes takes no longer than its length allows',
    fc.integer({ min: 1, max: 65_536 }),
    (length) => {
      const reader = new FrameReader(65_536);
      const bytes = frame(new Uint8Array(length));
      let given = 0;
      for (let at = 0; at < bytes.length; at += 1)
        for (const one of reader.push(bytes.subarray(at, at + 1))) given += one.length;
      assert.equal(given, length);
    },
  ),

  fuzzer(
    'serveRpc: cuts do not change what is answered, and it never rejects',
    fc.tuple(stream, cuts),
    async ([bytes, at]) => {
      const { given, hasThrown } = read([bytes]);
      const refused = given.findIndex((one) => one.startsWith('ff'));
      const spoken = refused === -1 ? given : given.slice(0, refused);
      const expected = framed(
        spoken.filter((one) => one !== '').map((one) => Buffer.from(one, 'hex')),
      ).toString('hex');
      const answers = await answersTo(pieces(bytes, at));
      // A stream that is reset takes along what is on its way.
      if (hasThrown || refused !== -1) assert.ok(expected.startsWith(answers));
      else assert.equal(answers, expected);
    },
  ),

  fuzzer(
    'RpcStream: cuts do not change an answer, and what is none is an error',
    fc.tuple(stream, cuts),
    async ([bytes, at]) => {
      const [first = 'none'] = read([bytes]).given;
      const answer = await answerOf(pieces(bytes, at));
      // A peer that says more than it was asked may be given up before its answer has been read.
      assert.ok(answer === first || answer === 'none', answer);
    },
  ),
]);
