/** Providers of many keys, asked in one message before the keys are looked up. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { multiaddr } from '@multiformats/multiaddr';
import { connect, startRawNode } from '../../../lab/routing/plain-node.ts';
import { PROVIDERS_PROTOCOL } from '../../../lib/routing/constants.ts';
import { FrameReader, frame } from '../../../lib/routing/dht/frames.ts';
import { multihashOf } from '../../../lib/routing/dht/keys.ts';
import {
  decodeProvidersAnswer,
  encodeProvidersQuestion,
} from '../../../lib/routing/dht/providers-message.ts';
import type { LookupOptions } from '../../../lib/routing/router.ts';
import { peerIdText, type WirePeer } from '../../../lib/routing/wire-peer.ts';
import {
  digestKey,
  startFleet,
  startNode,
  type TestNode,
  until,
  untilFound,
} from '../libp2p/fleet.ts';
import { type Behaviour, Speaker } from './speaker.ts';

const KEPT = { takesKeptMiss: true };
/** In which a remembered miss is over, on a machine that is busy. */
const SOME_SECONDS = 10_000;
const keysFrom = (seed: number, count: number) =>
  Array.from({ length: count }, (_, at) => digestKey(seed + at));

/** A host that no node has met. */
function elsewhere(): WirePeer {
  const id = Buffer.concat([Buffer.from([0x00, 0x24, 0x08, 0x01, 0x12, 0x20]), randomBytes(32)]);
  return { id, addresses: [multiaddr('/ip4/10.9.8.7/tcp/5001').bytes] };
}

async function idsOf(node: TestNode, key: string, options?: LookupOptions): Promise<string[]> {
  const ids: string[] = [];
  for await (const { peerId } of node.router.lookup(key, AbortSignal.timeout(1_000), options))
    ids.push(peerId);
  return ids;
}

/** A node, and speakers that it has met. */
async function nodeWith(t: Parameters<typeof startNode>[0], ...all: (Behaviour | undefined)[]) {
  const node = await startNode(t);
  const speakers: Speaker[] = [];
  for (const behaviour of all) speakers.push(await Speaker.start(t, node.endpoint, behaviour));
  await until(() => node.router.peers() === all.length);
  return { node, speakers };
}

/** Waits until the answers are here: then a lookup of a key that nobody has asks nobody. */
async function untilKept(node: TestNode, speakers: readonly Speaker[], key: string): Promise<void> {
  const singles = () => speakers.reduce((sum, { single }) => sum + single, 0);
  await until(async () => {
    const before = singles();
    await idsOf(node, key, KEPT);
    return singles() === before;
  });
  for (const speaker of speakers) speaker.single = 0;
}

test('each peer gets one message for all keys, and a lookup none: of what is there, and of what is not', async (t) => {
  const { node, speakers } = await nodeWith(t, 'answers', 'answers', 'answers');
  const [absent = '', ...keys] = keysFrom(1, 100);
  const provider = elsewhere();
  for (const key of keys.slice(0, 10)) speakers[1]?.knows(key, provider);
  node.router.prefetch([...keys, absent]);
  await untilKept(node, speakers, absent);
  for (const [at, key] of keys.entries()) {
    const found = node.router.lookup(key, AbortSignal.timeout(1_000), KEPT);
    for await (const { peerId } of found) {
      assert.equal(peerId, peerIdText(provider.id));
      assert.ok(at < 10);
      // A caller that asks for more has the lookup made.
      break;
    }
  }
  const asked = speakers.map(({ together, single }) => [...together, single]);
  assert.deepEqual(asked, [
    [100, 0],
    [100, 0],
    [100, 0],
  ]);
});

test('real nodes answer: what was announced to them, what they have themselves, and nothing', async (t) => {
  const [asker, holder] = await startFleet(t, 3);
  assert.ok(asker && holder);
  const counter = await Speaker.start(t, asker.endpoint, 'answers');
  await until(() => asker.router.peers() === 3);
  const [announced = '', absent = ''] = keysFrom(1, 2);
  holder.router.advertise([announced]);
  await untilFound(asker, announced);
  asker.router.prefetch(keysFrom(2, 40));
  // All of its peers have answered, or it would ask them.
  await untilKept(asker, [counter], absent);
  for (const { router, endpoint } of [asker, holder]) {
    const stranger = await startRawNode(t);
    await connect(stranger, endpoint);
    const stream = await stranger.getConnections()[0]?.newStream(PROVIDERS_PROTOCOL);
    assert.ok(stream, router.peerId);
    const keys = [absent, announced].map(multihashOf);
    stream.send(frame(encodeProvidersQuestion(keys)));
    const [message] = await once(stream, 'message');
    const [answer] = new FrameReader(10_000).push(message.data);
    const told = decodeProvidersAnswer(answer ?? new Uint8Array(0));
    const ids = told.map((list) => list.map(({ id }) => peerIdText(id)));
    assert.deepEqual(ids, [[], [holder.router.peerId]]);
  }
});

test('no more than 128 keys are asked for, none that this node has, and none twice', async (t) => {
  const { node, speakers } = await nodeWith(t, 'answers');
  const own = keysFrom(1, 50);
  node.router.advertise(own);
  await until(() => node.router.protocol.providers(digestKey(50)).length === 1);
  const keys = keysFrom(1, 300);
  node.router.prefetch(own);
  node.router.prefetch(keys);
  node.router.prefetch(keys.slice(0, 100));
  await untilKept(node, speakers, digestKey(60));
  node.router.prefetch(keys.slice(0, 100));
  await sleep(100);
  assert.deepEqual(speakers[0]?.together, [128]);
});

test('a peer without the protocol is asked as ever, and alone decides nothing ahead', async (t) => {
  const { node, speakers } = await nodeWith(t, undefined, 'answers');
  const [older, ours] = speakers;
  const provider = elsewhere();
  older?.knows(digestKey(1), provider);
  node.router.prefetch(keysFrom(1, 3));
  await sleep(100);
  assert.deepEqual([older?.single, ours?.together], [0, []]);
  assert.deepEqual(await idsOf(node, digestKey(1), KEPT), [peerIdText(provider.id)]);
  assert.deepEqual([older?.single, ours?.single], [1, 1]);
});

test('beside older peers, six that speak the protocol decide', async (t) => {
  const six = Array.from({ length: 6 }, () => 'answers' as const);
  const { node, speakers } = await nodeWith(t, ...six, undefined, undefined);
  node.router.prefetch(keysFrom(1, 30));
  await untilKept(node, speakers, digestKey(1));
  for (const key of keysFrom(1, 30)) assert.deepEqual(await idsOf(node, key, KEPT), []);
  assert.deepEqual(
    speakers.map(({ together, single }) => [...together, single]),
    [...Array.from({ length: 6 }, () => [30, 0]), [0], [0]],
  );
});

for (const behaviour of ['refuses', 'garbage', 'too few'] as const) {
  test(`where a peer's answer is "${behaviour}", the lookup is made as ever`, async (t) => {
    const { node, speakers } = await nodeWith(t, behaviour, 'answers');
    const [odd] = speakers;
    const provider = elsewhere();
    for (const key of keysFrom(1, 20)) odd?.knows(key, provider);
    node.router.prefetch(keysFrom(1, 10));
    // The first lookups come while the question is under way.
    await turn();
    for (const key of keysFrom(1, 10))
      assert.deepEqual(await idsOf(node, key, KEPT), [peerIdText(provider.id)]);
    // It is not asked again for a while, nor left out of lookups.
    node.router.prefetch(keysFrom(11, 10));
    await sleep(50);
    assert.deepEqual(odd?.together, [10]);
    assert.deepEqual(await idsOf(node, digestKey(11), KEPT), [peerIdText(provider.id)]);
  });
}

test('a peer that is silent keeps no lookup waiting for good', async (t) => {
  const { node } = await nodeWith(t, 'silent', 'answers');
  node.router.prefetch(keysFrom(1, 10));
  await sleep(0);
  const startedAt = performance.now();
  assert.deepEqual(await idsOf(node, digestKey(1), KEPT), []);
  const ms = performance.now() - startedAt;
  assert.ok(ms < 900, `${ms} ms: the signal of the lookup ended it`);
});

test('a remembered miss hides nothing after its time, and nothing from a lookup that takes none', async (t) => {
  const { node, speakers } = await nodeWith(t, 'answers');
  const [speaker] = speakers;
  assert.ok(speaker);
  const provider = elsewhere();
  const [kept, anew] = keysFrom(1, 2);
  assert.ok(kept && anew);
  node.router.prefetch([kept, anew]);
  await untilKept(node, speakers, kept);
  speaker.knows(kept, provider);
  speaker.knows(anew, provider);
  assert.deepEqual(await idsOf(node, kept, KEPT), []);
  assert.equal(speaker.single, 0, 'the miss is remembered');
  assert.deepEqual(await idsOf(node, anew), [peerIdText(provider.id)]);
  await until(async () => (await idsOf(node, kept, KEPT)).length === 1, SOME_SECONDS);
  assert.equal(speaker.single, 2);
});

test('what is announced to this node ends a remembered miss at once', async (t) => {
  const [asker, holder] = await startFleet(t, 2);
  assert.ok(asker && holder);
  const key = digestKey(1);
  asker.router.prefetch([key]);
  assert.deepEqual(await idsOf(asker, key, KEPT), []);
  holder.router.advertise([key]);
  await until(async () => (await idsOf(asker, key, KEPT)).length === 1, 1_500);
});

test('a prefetch of a router that stops, or has no peer, ends with it', async (t) => {
  const { node } = await nodeWith(t, 'silent');
  node.router.prefetch(keysFrom(1, 10));
  await sleep(10);
  await node.stop();
  node.router.prefetch(keysFrom(1, 10));
  const lone = await startNode(t);
  lone.router.prefetch(keysFrom(1, 10));
  assert.deepEqual(await idsOf(lone, digestKey(1), KEPT), []);
});
