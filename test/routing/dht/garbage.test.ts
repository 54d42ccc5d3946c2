import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Libp2p, Stream } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import { connect, startRawNode } from '../../../lab/routing/plain-node.ts';
import { DHT_PROTOCOL, PROVIDERS_PROTOCOL } from '../../../lib/routing/constants.ts';
import { frame } from '../../../lib/routing/dht/frames.ts';
import { multihashOf } from '../../../lib/routing/dht/keys.ts';
import { encodeDhtMessage, MessageType } from '../../../lib/routing/dht/message.ts';
import { digestKey, find, startNode, until, untilFound } from '../libp2p/fleet.ts';

const key = multihashOf('some:key');

const GARBAGE: Record<string, Uint8Array> = {
  'random bytes': randomBytes(4_096),
  'an endless length': new Uint8Array(64).fill(0xff),
  'a length of 2 GB': Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0x07]),
  'an empty message': frame(new Uint8Array(0)),
  'a message that is no protobuf': frame(randomBytes(100)),
  'an unknown type': frame(encodeDhtMessage({ type: 77, key })),
  'GET_PROVIDERS without a key': frame(encodeDhtMessage({ type: MessageType.getProviders })),
  'ADD_PROVIDER with a key of 10 KB': frame(
    encodeDhtMessage({ type: MessageType.addProvider, key: randomBytes(10_000) }),
  ),
  'half a message': frame(encodeDhtMessage({ type: MessageType.getProviders, key })).subarray(
    0,
    20,
  ),
};

for (const protocol of [DHT_PROTOCOL, PROVIDERS_PROTOCOL]) {
  test(`garbage sent to ${protocol} ends its stream and nothing else`, async (t) => {
    const node = await startNode(t);
    const other = await startNode(t, { peers: [node.endpoint] });
    const stranger = await startRawNode(t);
    await connect(stranger, node.endpoint);
    for (const bytes of Object.values(GARBAGE)) {
      const stream = await openStream(stranger, node.router.peerId, protocol);
      stream.send(bytes);
      await sleep(20);
      stream.abort(new Error('done'));
    }
    other.router.advertise([digestKey(1)]);
    assert.deepEqual((await untilFound(node, digestKey(1))).ids, [other.router.peerId]);
  });
}

test('a record that names another peer, or an unusable address, is dropped', async (t) => {
  const node = await startNode(t);
  const victim = await startNode(t, { peers: [node.endpoint] });
  const stranger = await startRawNode(t);
  await connect(stranger, node.endpoint);
  const idOf = (peer: Libp2p) => peer.peerId.toMultihash().bytes;
  const others = await startRawNode(t);
  const address = multiaddr('/ip4/10.1.2.3/tcp/5001').bytes;
  const bad = [
    { id: idOf(others), addresses: [address] },
    { id: idOf(stranger), addresses: [] },
    { id: randomBytes(38), addresses: [address] },
    { id: idOf(stranger), addresses: [randomBytes(40), multiaddr('/ip4/0.0.0.0/tcp/1').bytes] },
    { id: idOf(stranger), addresses: [multiaddr('/ip4/169.254.169.254/tcp/80').bytes] },
  ];
  const stream = await openStream(stranger, node.router.peerId);
  for (const provider of bad) {
    stream.send(
      frame(
        encodeDhtMessage({
          type: MessageType.addProvider,
          key: multihashOf('bad'),
          providers: [provider],
        }),
      ),
    );
  }
  await sleep(100);
  assert.deepEqual((await find(node, 'bad')).ids, []);
  assert.deepEqual((await find(victim, 'bad')).ids, []);
});

test('a peer that answers lookups with garbage, with silence or for ever costs no hit', async (t) => {
  const node = await startNode(t);
  const holder = await startNode(t, { peers: [node.endpoint] });
  const answers = [...Object.values(GARBAGE), new Uint8Array(0), randomBytes(2_000_000)];
  for (const bytes of answers) {
    const liar = await startRawNode(t);
    await liar.handle(DHT_PROTOCOL, (stream) => {
      stream.addEventListener('message', () => {
        try {
          stream.send(bytes);
        } catch {
          // the asker is gone
        }
      });
    });
    await connect(liar, node.endpoint);
  }
  await until(() => node.router.peers() === answers.length + 1);
  holder.router.advertise([digestKey(1)]);
  await untilFound(node, digestKey(1));
  for (let miss = 0; miss < 5; miss++) {
    const { ids, totalMs } = await find(node, digestKey(100 + miss));
    assert.deepEqual(ids, []);
    assert.ok(totalMs < 500, `miss took ${totalMs} ms`);
  }
});

async function openStream(from: Libp2p, to: string, protocol = DHT_PROTOCOL): Promise<Stream> {
  const connection = from.getConnections().find(({ remotePeer }) => remotePeer.toString() === to);
  assert.ok(connection);
  return connection.newStream(protocol);
}
