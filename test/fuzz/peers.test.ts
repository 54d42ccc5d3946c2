/** What other nodes say in messages: of the DHT and of the tracker protocol. */
import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import fc from 'fast-check';
import { canonicalIp, isLoopback, isNowhere, parseHostPort } from '../../lib/base/address.ts';
import { MAX_ADDRESSES_PER_PEER } from '../../lib/routing/constants.ts';
import { frame } from '../../lib/routing/dht/frames.ts';
import {
  announcementEncoder,
  type DhtMessage,
  decodeDhtMessage,
  encodeDhtMessage,
  MessageType,
} from '../../lib/routing/dht/message.ts';
import * as many from '../../lib/routing/dht/providers-message.ts';
import { registryAddresses } from '../../lib/routing/libp2p/peer-candidate.ts';
import { ReferralLimits } from '../../lib/routing/membership/referral-limits.ts';
import { MAX_MESSAGE_BYTES } from '../../lib/routing/peer-protocol.ts';
import {
  parseAddress,
  peerIdText,
  routerAddress,
  routerHostPort,
} from '../../lib/routing/wire-peer.ts';
import { DigestAssignment } from '../../lib/tracker/assignment.ts';
import * as protocol from '../../lib/tracker/protocol.ts';
import { Tracker } from '../../lib/tracker/tracker.ts';
import {
  address,
  dhtMessage,
  trackerAnswer,
  trackerMessage,
  trackerReceipt,
  wirePeer,
} from './arbitrary-messages.ts';
import { fuzz, fuzzer } from './fuzzer.ts';
import { CONTROL, json, mutatedBytes } from './mutations.ts';

/** The value, or undefined where it throws, which it may do with an Error only. */
function orThrown<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    assert.ok(error instanceof Error);
    return undefined;
  }
}

/**
 * Buffers and plain arrays of the same bytes are equal here, and records whatever their prototype
 * is.
 */
const plain = (value: unknown) =>
  JSON.stringify(value, (_, part) =>
    part?.type === 'Buffer' ? part.data : part instanceof Uint8Array ? [...part] : part,
  );

/** As protobuf has it: a member that is not there is its zero. */
const sent = (message: DhtMessage) => plain({ ...message, isLeaving: message.isLeaving ?? false });

const dhtBytes = mutatedBytes(dhtMessage.map(encodeDhtMessage), [
  // Groups within groups, and the end of one that never began.
  '\x0b'.repeat(200),
  '\x0c',
  Uint8Array.from([0x42, 0xff, 0xff, 0x03]),
]);

const key = fc.uint8Array({ minLength: 34, maxLength: 34 });
const manyKeys = fc.array(key, { minLength: 1, maxLength: 140 });
const WHOLE_KEY = Buffer.concat([Buffer.from([0x0a, 0x22]), Buffer.alloc(34)]);

const trackerText = fc
  .oneof(trackerMessage, trackerAnswer, trackerReceipt)
  .map(protocol.encodeTrackerMessage);
const trackerBytes = fc.oneof(
  {
    weight: 3,
    arbitrary: mutatedBytes(trackerText, ['"', '{"have":', '[', '1e999', '-0', '\\u0000']),
  },
  { weight: 1, arbitrary: json.map((text) => Buffer.from(text)) },
);

/** What a tracker is told, by whom. */
const told = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), trackerBytes), { maxLength: 20 });

fuzz(import.meta.filename, [
  fuzzer('decodeMessage of the DHT: what was encoded comes out', dhtMessage, (message) => {
    const usable = (list: DhtMessage['closer']) => list.filter(({ id }) => id.length > 0);
    const { closer, providers } = message;
    const expected = { ...message, closer: usable(closer), providers: usable(providers) };
    assert.equal(sent(decodeDhtMessage(encodeDhtMessage(message))), sent(expected));
  }),

  fuzzer(
    'decodeMessage of the DHT: it throws an Error, or gives what is within bounds and comes again',
    dhtBytes,
    (bytes) => {
      const message = orThrown(() => decodeDhtMessage(bytes));
      if (message === undefined) return;
      assert.ok(message.key.length <= 80 && message.closer.length <= 1_024);
      for (const { id, addresses } of [...message.closer, ...message.providers]) {
        assert.ok(id.length > 0 && id.length <= 80);
        assert.ok(addresses.length <= MAX_ADDRESSES_PER_PEER);
        assert.ok(addresses.every(({ length }) => length > 0 && length <= 128));
      }
      assert.equal(sent(decodeDhtMessage(encodeDhtMessage(message))), sent(message));
    },
  ),

  fuzzer(
    'questions for many keys: they throw an Error, or give 1 to 128 keys that come again',
    mutatedBytes(manyKeys.map(many.encodeProvidersQuestion), [WHOLE_KEY]),
    (bytes) => {
      const keys = orThrown(() => many.decodeProvidersQuestion(bytes));
      if (keys === undefined) return;
      assert.ok(keys.length > 0 && keys.length <= 128);
      assert.ok(keys.every(({ length }) => length === 34));
      const again = many.decodeProvidersQuestion(many.encodeProvidersQuestion(keys));
      assert.equal(plain(again), plain(keys));
    },
  ),

  fuzzer(
    'answers for many keys: they throw an Error, or give what is within bounds and comes again',
    mutatedBytes(fc.array(fc.array(wirePeer)).map(many.encodeProvidersAnswer), ['\x12\x01\x00']),
    (bytes) => {
      const lists = orThrown(() => many.decodeProvidersAnswer(bytes));
      if (lists === undefined) return;
      assert.ok(lists.length <= 128);
      for (const list of lists) {
        assert.ok(list.length <= 4);
        assert.ok(list.every(({ id }) => id.length > 0 && id.length <= 80));
        assert.ok(list.every(({ addresses }) => addresses.length <= MAX_ADDRESSES_PER_PEER));
      }
      assert.ok(many.encodeProvidersAnswer(lists).length < 1_048_576);
    },
  ),

  fuzzer(
    'announcementEncoder: the bytes are those of a message with that key',
    fc.tuple(wirePeer, fc.nat(0xffffffff), fc.uint8Array({ minLength: 34, maxLength: 34 })),
    ([provider, validitySeconds, key]) => {
      const made = announcementEncoder(provider, validitySeconds, key.length)(key);
      const { addProvider: type } = MessageType;
      const message = { type, key, providers: [provider], validitySeconds };
      assert.deepEqual(Buffer.from(made), Buffer.from(frame(encodeDhtMessage(message))));
    },
  ),

  fuzzer(
    'addresses of peers: only an IP and a port of a host elsewhere is asked',
    fc.tuple(
      fc.array(
        mutatedBytes(address).map((bytes) => bytes.subarray(0, 128)),
        { maxLength: 8 },
      ),
      fc.boolean(),
      wirePeer,
    ),
    ([addresses, loopback, { id }]) => {
      for (const ours of [true, false, undefined]) {
        const found = registryAddresses(addresses, ours, {
          registryPort: 5000,
          isLoopbackAllowed: loopback,
        });
        assert.ok(found.length <= 4);
        for (const one of found) {
          const { host = '' } = parseHostPort(one) ?? {};
          assert.ok(isIP(host) !== 0 && host === canonicalIp(host), one);
          assert.ok(!isNowhere(host) && (loopback || !isLoopback(host)), one);
        }
      }
      const heard = new ReferralLimits(() => loopback).dialablePeers('10.9.9.9', [
        { id, addresses },
      ]);
      assert.ok(heard.every(({ addresses: few }) => few.length <= 2));
      for (const bytes of addresses) {
        const parsed = parseAddress(bytes);
        if (parsed !== undefined) assert.notEqual(parsed.getComponents().at(-1)?.name, 'p2p');
        const router = routerAddress(bytes);
        if (router !== undefined) assert.match(router, /^\/ip[46]\/[\da-f.:]+\/tcp\/\d+$/);
        const endpoint = routerHostPort(bytes);
        if (endpoint !== undefined) assert.doesNotMatch(endpoint, CONTROL);
      }
      assert.match(peerIdText(id) ?? '', /^[1-9A-HJ-NP-Za-km-z]*$/);
    },
  ),

  fuzzer(
    'messages of the tracker protocol: they throw an Error, or give what comes again',
    trackerBytes,
    (bytes) => {
      for (const decode of [
        protocol.decodeTrackerMessage,
        protocol.decodeAnswer,
        protocol.decodeReceipt,
      ] as const) {
        const value = orThrown(() => decode(bytes));
        if (value === undefined) continue;
        assert.deepEqual(plain(decode(protocol.encodeTrackerMessage(value))), plain(value));
        assert.doesNotMatch(JSON.stringify(value), CONTROL);
      }
    },
  ),

  fuzzer(
    'Tracker: whatever it is told, each answer is one that a puller reads, and names another peer',
    told,
    (list) => {
      let now = 0;
      const tracker = new Tracker({
        protocol: { providers: () => ['d'] },
        newAssignment: () => new DigestAssignment(),
        now: () => now,
      });
      for (const [from, bytes] of list) {
        now += 100;
        const answer = orThrown(() => tracker.answer(from, bytes));
        if (answer === undefined) continue;
        assert.ok(answer.length <= MAX_MESSAGE_BYTES);
        if (Buffer.from(answer).includes('"ok"')) protocol.decodeReceipt(answer);
        else {
          const read = protocol.decodeAnswer(answer);
          if (read.role === 'follow') assert.ok(read.sources.every(({ peer }) => peer !== from));
        }
      }
      now += 3_600_000;
      tracker.sweep();
      assert.equal(tracker.size, 0);
    },
  ),
]);
