/** The peers that a peer names are dialled within bounds. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { multiaddr } from '@multiformats/multiaddr';
import { connect, startRawNode } from '../../../lab/routing/plain-node.ts';
import { DHT_PROTOCOL } from '../../../lib/routing/constants.ts';
import { FrameReader, frame } from '../../../lib/routing/dht/frames.ts';
import {
  decodeDhtMessage,
  encodeDhtMessage,
  MessageType,
} from '../../../lib/routing/dht/message.ts';
import { ReferralLimits } from '../../../lib/routing/membership/referral-limits.ts';
import { LOOPBACK, startFleet, startNode, until } from '../libp2p/fleet.ts';

const ED25519 = Buffer.from([0x00, 0x24, 0x08, 0x01, 0x12, 0x20]);
const inventedId = () => Buffer.concat([ED25519, randomBytes(32)]);

test('of the peers that a peer makes up few are dialled, and its own host is met all the same', async (t) => {
  let dials = 0;
  const trap = createServer((socket) => {
    dials += 1;
    socket.destroy();
  });
  trap.listen(0, LOOPBACK);
  t.after(() => trap.close());
  await once(trap, 'listening');
  const where = trap.address();
  assert.ok(where !== null && typeof where === 'object');
  const address = multiaddr(`/ip4/${LOOPBACK}/tcp/${where.port}`).bytes;

  const liar = await startRawNode(t);
  await liar.handle(DHT_PROTOCOL, (stream) => {
    const reader = new FrameReader(1_000_000);
    stream.addEventListener('message', ({ data }) => {
      for (const message of reader.push(data)) {
        const { type, key } = decodeDhtMessage(message);
        const closer =
          type === MessageType.findNode
            ? Array.from({ length: 256 }, () => ({ id: inventedId(), addresses: [address] }))
            : [];
        stream.send(frame(encodeDhtMessage({ type, key, closer })));
      }
    });
  });
  const [node, honest] = await startFleet(t, 2);
  assert.ok(node && honest);
  await connect(liar, node.endpoint);
  await until(() => node.router.peers() === 2);
  await sleep(4_000);
  t.diagnostic(`${dials} dials`);
  assert.ok(dials > 0, 'it listened at first');
  assert.ok(dials <= 100, `${dials} dials`);
  const newcomer = await startNode(t, { peers: [honest.endpoint] });
  await until(() => newcomer.router.peers() >= 2, 10_000);
  await until(() => node.router.peers() >= 3, 10_000);
});

const heard = (hearsay: ReferralLimits, ...addresses: string[]) => {
  const bytes = addresses.map((address) => multiaddr(address).bytes);
  const [peer] = hearsay.dialablePeers('10.0.0.9', [{ id: inventedId(), addresses: bytes }]);
  return peer?.addresses.map((one) => multiaddr(one).toString()) ?? [];
};

test('no address of this host, of no host, or of a cloud is dialled for hearsay, and two at most', () => {
  const hearsay = new ReferralLimits(() => false);
  for (const ip of [
    '/ip4/127.0.0.1',
    '/ip6/::1',
    '/ip4/0.0.0.0',
    '/ip6/::',
    '/ip4/169.254.169.254',
    '/ip6/fe80::1',
    '/ip4/224.0.0.251',
    '/ip4/255.255.255.255',
    '/ip6/ff02::1',
    '/ip6/fd00:ec2::254',
    '/ip4/100.100.100.200',
    '/ip6/64:ff9b::a9fe:a9fe',
    '/ip6/64:ff9b::7f00:1',
    '/ip6/64:ff9b::6464:64c8',
    '/ip6/::ffff:169.254.169.254',
  ]) {
    assert.deepEqual(heard(hearsay, `${ip}/tcp/80`), [], ip);
  }
  assert.deepEqual(heard(hearsay, '/dns4/example.com/tcp/80', '/ip4/10.0.0.1/udp/1'), []);
  assert.deepEqual(heard(hearsay, '/ip4/10.0.0.1/tcp/5000/http'), []);
  const many = ['/ip4/127.0.0.1/tcp/1', ...[1, 2, 3, 4].map((host) => `/ip4/10.0.0.${host}/tcp/1`)];
  assert.deepEqual(heard(hearsay, ...many), ['/ip4/10.0.0.1/tcp/1', '/ip4/10.0.0.2/tcp/1']);
  assert.deepEqual(heard(hearsay, '/ip6/64:ff9b::a00:1/tcp/1').length, 1);
});

test('where all peers are on this machine, its addresses are theirs', () => {
  const hearsay = new ReferralLimits(() => true);
  assert.equal(heard(hearsay, '/ip4/127.0.0.1/tcp/5001').length, 1);
  assert.equal(heard(hearsay, '/ip4/169.254.169.254/tcp/80').length, 0);
});

test('a teller is not listened to when most of its names fail, and others are', () => {
  const hearsay = new ReferralLimits(() => false);
  const names = () => [{ id: inventedId(), addresses: [multiaddr('/ip4/10.0.0.1/tcp/1').bytes] }];
  for (let count = 0; count < 24; count++) {
    assert.ok(hearsay.allowDial('2001:db8::1'));
    hearsay.dialFailed('2001:db8::1');
  }
  assert.ok(!hearsay.allowDial('2001:db8::2'), 'the same network');
  assert.deepEqual(hearsay.dialablePeers('2001:db8::3', names()), []);
  assert.ok(hearsay.allowDial('2001:db8:0:1::1'));
  assert.equal(hearsay.dialablePeers('10.0.0.1', names()).length, 1);
});

test('a teller that is mostly right may name dead peers, a bounded number per minute', () => {
  const hearsay = new ReferralLimits(() => false);
  let taken = 0;
  for (let count = 0; count < 600; count++) {
    if (hearsay.allowDial('10.0.0.1')) taken += 1;
    if (count % 3 === 0) hearsay.dialFailed('10.0.0.1');
  }
  assert.equal(taken, 512);
});
