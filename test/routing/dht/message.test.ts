import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { multiaddr } from '@multiformats/multiaddr';
import { FrameReader, frame } from '../../../lib/routing/dht/frames.ts';
import { multihashOf } from '../../../lib/routing/dht/keys.ts';
import {
  announcementEncoder,
  decodeDhtMessage,
  encodeDhtMessage,
  MessageType,
} from '../../../lib/routing/dht/message.ts';
import { routerAddress } from '../../../lib/routing/wire-peer.ts';

const peer = (count: number) => ({
  id: randomBytes(38),
  addresses: Array.from({ length: count }, () => randomBytes(8)),
});
/** Buffers and plain arrays of the same bytes are equal here. */
const plain = (value: unknown) =>
  JSON.stringify(value, (_, part) =>
    part?.type === 'Buffer' ? part.data : part instanceof Uint8Array ? [...part] : part,
  );

test('a message comes back as it was', () => {
  const message = {
    type: 3,
    key: multihashOf('a'),
    closer: [peer(1), peer(0)],
    providers: [peer(2)],
    validitySeconds: 86_400,
    isLeaving: true,
  };
  assert.equal(plain(decodeDhtMessage(encodeDhtMessage(message))), plain(message));
});

test('peers and addresses above the bounds are skipped, and a long key is refused', () => {
  const many = {
    type: 3,
    closer: Array.from({ length: 2_000 }, () => peer(0)),
    providers: [peer(40)],
  };
  const decoded = decodeDhtMessage(encodeDhtMessage(many));
  assert.equal(decoded.closer.length, 1_024);
  assert.equal(decoded.providers[0]?.addresses.length, 16);
  assert.throws(() => decodeDhtMessage(encodeDhtMessage({ type: 3, key: randomBytes(81) })));
});

test('random bytes make the decoder throw at most', () => {
  for (let round = 0; round < 5_000; round++) {
    const good = encodeDhtMessage({ type: 3, key: multihashOf('a'), providers: [peer(2)] });
    const bytes = round % 2 === 0 ? randomBytes(round % 300) : good;
    bytes[Math.floor(Math.random() * bytes.length)] = Math.floor(Math.random() * 256);
    try {
      decodeDhtMessage(bytes);
    } catch (error) {
      assert.ok(error instanceof Error);
    }
  }
});

test('an announcement is an ADD_PROVIDER with the key in place', () => {
  const self = peer(2);
  const key = multihashOf('docker.io/library/a:1');
  const framed = announcementEncoder(self, 600, key.length)(key);
  const message = { type: MessageType.addProvider, key, providers: [self], validitySeconds: 600 };
  const expected = frame(encodeDhtMessage(message));
  assert.equal(plain(framed), plain(expected));
});

test('messages are cut out of any chunks', () => {
  const messages = [0, 1, 127, 128, 5_000].map((length) => randomBytes(length));
  const bytes = Buffer.concat(messages.map((message) => frame(message)));
  for (const size of [1, 2, 3, 1_000, bytes.length]) {
    const reader = new FrameReader(5_000);
    const out: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += size)
      out.push(...reader.push(bytes.subarray(at, at + size)));
    assert.equal(plain(out), plain(messages));
  }
  assert.throws(() => [...new FrameReader(99).push(frame(randomBytes(100)))]);
  assert.throws(() => [...new FrameReader(99).push(Buffer.alloc(10, 0x80))]);
});

test('a message of 256 KiB in single bytes takes moments, not half a minute', () => {
  const bytes = frame(randomBytes(262_144));
  const reader = new FrameReader(262_144);
  const out: Uint8Array[] = [];
  const before = process.threadCpuUsage();
  for (let at = 0; at < bytes.length; at += 1) out.push(...reader.push(bytes.subarray(at, at + 1)));
  const { user } = process.threadCpuUsage(before);
  assert.equal(plain(out), plain([bytes.subarray(3)]));
  assert.ok(user < 8_000_000, `${user / 1_000} ms`);
});

test('the address of a router is an IP and a TCP port, and nothing else', () => {
  const at = (text: string) => routerAddress(multiaddr(text).bytes);
  assert.equal(at('/ip4/10.0.0.1/tcp/1'), '/ip4/10.0.0.1/tcp/1');
  for (const text of [
    '/dns4/a.example/tcp/1',
    '/ip4/10.0.0.1/tcp/1/ip4/10.0.0.2/tcp/2',
    '/ip4/10.0.0.1/udp/1',
  ])
    assert.equal(at(text), undefined);
});
