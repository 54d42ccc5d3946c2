import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Libp2p, Stream } from '@libp2p/interface';
import { connect, startLibraryNode, startRawNode } from '../../../lab/routing/plain-node.ts';
import { DHT_PROTOCOL, TRACKER_PROTOCOL } from '../../../lib/routing/constants.ts';
import { frame } from '../../../lib/routing/dht/frames.ts';
import { multihashOf } from '../../../lib/routing/dht/keys.ts';
import { encodeDhtMessage, MessageType } from '../../../lib/routing/dht/message.ts';
import { type Cleanup, digestKey, startFleet, startNode, summary, until } from './fleet.ts';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
const bytes = (said: string) => Buffer.from(said);
const soon = () => AbortSignal.timeout(2_000);
/** Answers with the asker and its question. */
const echo = (from: string, question: Uint8Array) => bytes(`${from} asked ${text(question)}`);

/** A node that seems to speak the protocol, and gives its streams to a handler of the test. */
async function startLiar(
  t: Cleanup,
  endpoint: string,
  serve: (stream: Stream) => void,
): Promise<Libp2p> {
  const liar = await startRawNode(t);
  await liar.handle(DHT_PROTOCOL, () => {});
  await liar.handle(TRACKER_PROTOCOL, serve);
  await connect(liar, endpoint);
  return liar;
}

test('all nodes agree on the nodes closest to a key, all of which speak the protocol', async (t) => {
  const speakers = await startFleet(t, 4, { answer: echo });
  const [first] = speakers;
  assert.ok(first);
  const silent = await startNode(t, { peers: [first.endpoint] });
  const library = await startLibraryNode(t);
  await connect(library, first.endpoint);
  await until(() => speakers.every(({ router }) => router.peers() >= 4));
  await until(() => first.router.peers() === 5);
  const all = speakers.map(({ router }) => router.peerId).toSorted();
  const counts = new Map<string, number>();
  for (let seed = 0; seed < 100; seed++) {
    const orders = speakers.map(({ router }) => router.protocol.closest(digestKey(seed), 10));
    for (const order of orders) assert.deepEqual(order, orders[0]);
    assert.deepEqual(orders[0]?.toSorted(), all);
    assert.deepEqual(first.router.protocol.closest(digestKey(seed), 2), orders[0]?.slice(0, 2));
    const closest = orders[0]?.[0] ?? '';
    counts.set(closest, (counts.get(closest) ?? 0) + 1);
  }
  assert.equal(counts.size, 4, 'every node is the closest to some keys');
  assert.deepEqual(silent.router.protocol.closest(digestKey(1), 10), []);
  await assert.rejects(
    first.router.protocol.ask(silent.router.peerId, bytes('a'), soon()),
    /does not speak/,
  );
});

test('a question is answered on a kept stream, and candidates are where peers said', async (t) => {
  const [a, b] = await startFleet(t, 2, { answer: echo });
  assert.ok(a && b);
  const ask = async (said: string) =>
    text(await a.router.protocol.ask(b.router.peerId, bytes(said), soon()));
  const opened = performance.now();
  assert.equal(await ask('x'), `${a.router.peerId} asked x`);
  const openMs = performance.now() - opened;
  const times: number[] = [];
  for (let round = 0; round < 500; round++) {
    const started = performance.now();
    await ask(String(round));
    times.push(performance.now() - started);
  }
  t.diagnostic(`first ${openMs.toFixed(1)} ms, then ${summary(times)}`);
  const many = await Promise.all(Array.from({ length: 50 }, (_, at) => ask(String(at))));
  assert.ok(many.every((answer, at) => answer.endsWith(` asked ${at}`)));
  assert.deepEqual(a.router.protocol.candidate(b.router.peerId), {
    peerId: b.router.peerId,
    addresses: [`127.0.0.1:${b.registryPort}`],
  });
  assert.equal(a.router.protocol.candidate(a.router.peerId), undefined);
  assert.equal(a.router.protocol.candidate('12D3KooWNobody'), undefined);
});

test('providers are the members that announced a key, and this node if it did', async (t) => {
  const [a, b, c] = await startFleet(t, 3, { answer: echo });
  assert.ok(a && b && c);
  assert.deepEqual(a.router.protocol.providers(digestKey(1)), []);
  a.router.advertise([digestKey(1)]);
  b.router.advertise([digestKey(1)]);
  const both = [a.router.peerId, b.router.peerId].toSorted();
  const known = () => a.router.protocol.providers(digestKey(1)).toSorted();
  await until(() => known().join() === both.join());
  await b.stop();
  await until(() => known().join() === a.router.peerId);
});

test('garbage ends its stream and nothing else', async (t) => {
  const picky = (from: string, question: Uint8Array) => {
    if (text(question) === 'huge') return randomBytes(9_000);
    if (text(question).length > 4) throw new Error('expected at most four letters');
    return echo(from, question);
  };
  const [a, b] = await startFleet(t, 2, { answer: picky });
  assert.ok(a && b);
  const ask = (said: string) => a.router.protocol.ask(b.router.peerId, bytes(said), soon());
  await assert.rejects(ask('long question'), /stream/);
  await assert.rejects(ask('huge'), /stream/);
  await assert.rejects(ask('x'.repeat(8_193)), /question of 8193 bytes/);
  const stranger = await startRawNode(t);
  await connect(stranger, b.endpoint);
  // Without a frame, random bytes could look like the beginning of a message that is to be awaited.
  for (const sent of [
    frame(randomBytes(64)),
    frame(randomBytes(8_193)),
    new Uint8Array(64).fill(0xff),
  ]) {
    const [connection] = stranger.getConnections();
    const stream = await connection?.newStream(TRACKER_PROTOCOL);
    stream?.send(sent);
    await until(() => stream?.status !== 'open', 5_000);
  }
  assert.equal(text(await ask('x')), `${a.router.peerId} asked x`);
});

test('streams of one peer are bounded', async (t) => {
  const node = await startNode(t, { answer: echo });
  const stranger = await startRawNode(t);
  await connect(stranger, node.endpoint);
  const [connection] = stranger.getConnections();
  const streams: Stream[] = [];
  const open = async () => {
    const stream = await connection?.newStream(TRACKER_PROTOCOL, { maxOutboundStreams: 99 });
    if (stream === undefined) return;
    stream.send(frame(bytes('a')));
    streams.push(stream);
  };
  for (let count = 0; count < 20; count++) await open().catch(() => {});
  await until(() => streams.filter(({ status }) => status === 'open').length <= 8, 2_000);
  assert.ok(node.router.protocol.closest('a', 1).length === 1);
});

test('a frozen peer costs an asker the timeout of a question, and never more than 64 questions', async (t) => {
  const node = await startNode(t, { answer: echo });
  const frozen = await startLiar(t, node.endpoint, () => {});
  const id = frozen.peerId.toString();
  await until(() => node.router.protocol.closest('a', 9).includes(id));
  const { protocol } = node.router;
  const started = performance.now();
  const asked = Array.from({ length: 64 }, () =>
    assert.rejects(protocol.ask(id, bytes('a'), AbortSignal.timeout(200)), /timeout/),
  );
  await assert.rejects(protocol.ask(id, bytes('a'), soon()), /does not answer/);
  assert.ok(performance.now() - started < 150);
  await Promise.all(asked);
  const ms = performance.now() - started;
  assert.ok(ms >= 190 && ms < 700, `${ms} ms`);
  await assert.rejects(protocol.ask(id, bytes('a'), AbortSignal.abort(new Error('left'))), /left/);
});

test('a peer that answers too much, answers unasked or goes away fails its asker only', async (t) => {
  const node = await startNode(t, { answer: echo });
  const other = await startNode(t, { answer: echo, peers: [node.endpoint] });
  const answers = [frame(randomBytes(8_193)), randomBytes(100_000), Uint8Array.of(1, 1, 1, 1)];
  for (const answer of answers) {
    const liar = await startLiar(t, node.endpoint, (stream) => {
      stream.addEventListener('message', () => {
        if (stream.status === 'open') stream.send(answer);
      });
    });
    const id = liar.peerId.toString();
    await until(() => node.router.protocol.closest('a', 9).includes(id));
    const ask = () => node.router.protocol.ask(id, bytes('a'), AbortSignal.timeout(500));
    await ask().catch(() => {});
    await liar.stop();
    const gone = performance.now();
    await until(() => !node.router.protocol.closest('a', 9).includes(id), 1_000);
    await assert.rejects(ask());
    assert.ok(performance.now() - gone < 500);
  }
  const answer = await node.router.protocol.ask(other.router.peerId, bytes('a'), soon());
  assert.equal(text(answer), `${node.router.peerId} asked a`);
});

test('a stream that is idle is closed, and opened again for the next question', async (t) => {
  const [a, b] = await startFleet(t, 2, { answer: echo });
  assert.ok(a && b);
  const ask = () => a.router.protocol.ask(b.router.peerId, bytes('a'), soon());
  await ask();
  await sleep(8_500);
  assert.equal(text(await ask()), `${a.router.peerId} asked a`);
  await a.stop();
  assert.deepEqual(a.router.protocol.closest('a', 1), []);
  await assert.rejects(ask(), /not connected/);
});

test('a tracker question changes nothing for the DHT', async (t) => {
  const stranger = await startRawNode(t);
  const node = await startNode(t, { answer: echo });
  await connect(stranger, node.endpoint);
  const [connection] = stranger.getConnections();
  const stream = await connection?.newStream(TRACKER_PROTOCOL);
  const key = multihashOf('a');
  stream?.send(frame(encodeDhtMessage({ type: MessageType.getProviders, key })));
  const dht = await connection?.newStream(DHT_PROTOCOL);
  const answered = Promise.withResolvers<void>();
  dht?.addEventListener('message', () => answered.resolve(), { once: true });
  dht?.send(frame(encodeDhtMessage({ type: MessageType.getProviders, key })));
  await answered.promise;
});
