import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import protobuf from 'protobufjs/minimal.js';
import { multihashOf } from '../../../lib/routing/dht/keys.ts';
import {
  decodeProvidersAnswer,
  decodeProvidersQuestion,
  encodeProvidersAnswer,
  encodeProvidersQuestion,
} from '../../../lib/routing/dht/providers-message.ts';

const keysOf = (count: number) => Array.from({ length: count }, (_, at) => multihashOf(`${at}`));
const peer = (addresses = 2, bytes = 8) => ({
  id: randomBytes(38),
  addresses: Array.from({ length: addresses }, () => randomBytes(bytes)),
});
/** Buffers and plain arrays of the same bytes are equal here. */
const plain = (value: unknown) =>
  JSON.stringify(value, (_, part) =>
    part?.type === 'Buffer' ? part.data : part instanceof Uint8Array ? [...part] : part,
  );

/** Protobuf's wire format, as the message of a peer that is not ours may have it. */
const field = (number: number, value: Uint8Array) =>
  protobuf.Writer.create()
    .uint32((number << 3) | 2)
    .bytes(value)
    .finish();

test('a question comes back as it was', () => {
  for (const count of [1, 2, 128]) {
    const keys = keysOf(count);
    assert.equal(plain(decodeProvidersQuestion(encodeProvidersQuestion(keys))), plain(keys));
  }
  assert.ok(encodeProvidersQuestion(keysOf(128)).length < 8_192);
});

test('an answer comes back as it was, and holds each peer once', () => {
  const [a, b, c] = [peer(1), peer(0), peer(8)];
  const lists = [[a, b], [], [b], [c, a, b], []];
  const bytes = encodeProvidersAnswer(lists);
  assert.equal(plain(decodeProvidersAnswer(bytes)), plain(lists));
  const shared = encodeProvidersAnswer(Array.from({ length: 128 }, () => [a]));
  assert.ok(shared.length < 128 * 4 + 100, `${shared.length} bytes`);
  assert.deepEqual(decodeProvidersAnswer(encodeProvidersAnswer([])), []);
});

test('an answer names four providers of a key and eight addresses of each, and stays below its bound', () => {
  const lists = Array.from({ length: 128 }, () => Array.from({ length: 9 }, () => peer(16, 128)));
  const bytes = encodeProvidersAnswer(lists);
  assert.ok(bytes.length < 1_048_576, `${bytes.length} bytes`);
  const told = decodeProvidersAnswer(bytes);
  assert.equal(told.length, 128);
  for (const [at, list] of told.entries()) {
    assert.deepEqual(
      list.map(({ id }) => Buffer.from(id)),
      lists[at]?.slice(0, 4).map(({ id }) => id),
    );
    assert.ok(list.every(({ addresses }) => addresses.length === 8));
  }
});

test('fields that are not known are skipped', () => {
  const extra = field(9, randomBytes(20));
  const [key] = keysOf(1);
  assert.ok(key);
  assert.equal(
    plain(decodeProvidersQuestion(Buffer.concat([extra, field(1, key), extra]))),
    plain([key]),
  );
  const lists = [[peer()], []];
  const answer = Buffer.concat([extra, encodeProvidersAnswer(lists), extra]);
  assert.equal(plain(decodeProvidersAnswer(answer)), plain(lists));
});

const [KEY = new Uint8Array(0)] = keysOf(1);

for (const [what, bytes, message] of [
  ['no key', new Uint8Array(0), /without a key/],
  ['a short key', field(1, randomBytes(33)), /key of 33 bytes/],
  ['a long key', field(1, randomBytes(80)), /key of 80 bytes/],
  ['a key twice', Buffer.concat([field(1, KEY), field(1, KEY)]), /twice/],
  ['129 keys', Buffer.concat(keysOf(129).map((key) => field(1, key))), /more than 128 keys/],
  ['half a key', field(1, KEY).subarray(0, 20), /index out of range/],
  ['a group without an end', Uint8Array.from([0x0b, 0x0b]), /index out of range/],
] as const) {
  test(`a question with ${what} is refused`, () => {
    assert.throws(() => decodeProvidersQuestion(bytes), message);
  });
}

const PEER = field(1, field(1, randomBytes(38)));
const places = (...list: number[]) => field(2, Uint8Array.from(list));

for (const [what, bytes, message] of [
  ['a peer that it does not hold', Buffer.concat([PEER, places(1)]), /provider 1 of 1/],
  ['five providers of a key', Buffer.concat([PEER, places(0, 0, 0, 0, 0)]), /more than 4/],
  ['129 lists', Buffer.concat(Array.from({ length: 129 }, () => places())), /more than 128 keys/],
  ['513 peers', Buffer.concat(Array.from({ length: 513 }, () => PEER)), /more than 512 peers/],
  ['a peer without an id', field(1, field(2, randomBytes(8))), /peer id of 0 bytes/],
  ['a peer with a long id', field(1, field(1, randomBytes(81))), /peer id of 81 bytes/],
  ['a number longer than its list', Buffer.concat([PEER, places(0x80), places(0)]), /longer/],
  ['a list longer than it', Uint8Array.from([0x12, 0x05, 0x00]), /longer than their message/],
  ['a peer longer than it', Uint8Array.from([0x0a, 0x7f, 0x0a]), /longer than its message/],
] as const) {
  test(`an answer with ${what} is refused`, () => {
    assert.throws(() => decodeProvidersAnswer(bytes), message);
  });
}
