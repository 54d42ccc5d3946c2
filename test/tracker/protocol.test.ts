import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Digest } from '../../lib/oci/digest.ts';
import type { SourceAnswer } from '../../lib/tracker/assignment.ts';
import {
  decodeAnswer,
  decodeReceipt,
  decodeTrackerMessage,
  encodeTrackerMessage,
  type Receipt,
  type TrackerMessage,
} from '../../lib/tracker/protocol.ts';

const hex = fc.stringMatching(/^[0-9a-f]{64}$/);
const digest = hex.map((text): Digest => `sha256:${text}`);
const count = fc.maxSafeNat();
const peer = fc.stringMatching(/^[0-9A-Za-z]{1,128}$/);
const peers = fc.array(peer, { maxLength: 16 });
const ask = fc.record(
  {
    type: fc.constant('ask' as const),
    digest,
    have: count,
    failed: peers,
    isSmall: fc.boolean(),
    upstreamRate: count,
    wantedRate: count,
  },
  { requiredKeys: ['type', 'digest', 'have', 'failed', 'isSmall'] },
);
const pull = fc.record({ digest, have: count, source: fc.option(peer, { nil: undefined }) });
const report = fc.record({
  type: fc.constant('report' as const),
  pulls: fc.array(pull, { maxLength: 16 }),
});
const done = fc.record({ type: fc.constant('done' as const), digest });
const gone = fc.record({ type: fc.constant('gone' as const), digest, isSpoilt: fc.boolean() });
const message: fc.Arbitrary<TrackerMessage> = fc.oneof(ask, report, done, gone);
const source = fc.record({ peer, isWhole: fc.boolean() });
const answer: fc.Arbitrary<SourceAnswer> = fc.oneof(
  fc.constant({ role: 'lead' as const }),
  fc.record({
    role: fc.constant('follow' as const),
    sources: fc.array(source, { minLength: 1, maxLength: 16 }),
    depth: count,
  }),
);
const receipt: fc.Arbitrary<Receipt> = fc.record({
  ok: fc.constant(true),
  nextReportMs: count,
  again: fc.array(digest, { maxLength: 16 }),
});

/** Without the prototypes that fast-check gives its records. */
const plain = (value: unknown) => JSON.parse(JSON.stringify(value));

test('messages and answers come back as they were', () => {
  fc.assert(
    fc.property(message, (m) =>
      assert.deepEqual(plain(decodeTrackerMessage(encodeTrackerMessage(m))), plain(m)),
    ),
  );
  fc.assert(
    fc.property(answer, (a) =>
      assert.deepEqual(plain(decodeAnswer(encodeTrackerMessage(a))), plain(a)),
    ),
  );
  fc.assert(
    fc.property(receipt, (r) => assert.deepEqual(decodeReceipt(encodeTrackerMessage(r)), plain(r))),
  );
});

test('the longest messages fit', () => {
  const longest = 'z'.repeat(128);
  const all: Digest = `sha256:${'f'.repeat(64)}`;
  const have = Number.MAX_SAFE_INTEGER;
  const pulls = Array.from({ length: 16 }, () => ({ digest: all, have, source: longest }));
  assert.ok(encodeTrackerMessage({ type: 'report', pulls }).length < 8_192);
  const failed = pulls.map(() => longest);
  assert.ok(
    encodeTrackerMessage({ type: 'ask', digest: all, have, failed, isSmall: true }).length < 8_192,
  );
});

const decoders = [decodeTrackerMessage, decodeAnswer, decodeReceipt];

test('no bytes do more than throw an error that can be shown', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map((text) => Buffer.from(text)),
    fc.tuple(message, fc.nat(), fc.nat(255)).map(([m, at, value]) => {
      const encoded = encodeTrackerMessage(m);
      encoded[at % encoded.length] = value;
      return encoded;
    }),
  );
  const property = fc.property(bytes, fc.constantFrom(...decoders), (came, decode) => {
    try {
      decode(came);
    } catch (error) {
      assert.ok(error instanceof Error && error.message.length < 300);
    }
  });
  fc.assert(property, { numRuns: 3_000 });
});

test('members that are not known are skipped and not passed on', () => {
  const said = Buffer.from('{"role":"lead","__proto__":{"a":1},"more":2}');
  assert.deepEqual(Object.keys(decodeAnswer(said)), ['role']);
});

const D = `sha256:${'0'.repeat(64)}`;
const many = (value: unknown) => Array.from({ length: 17 }, () => value);
const ASK = { type: 'ask', digest: D, have: 0, failed: [] };
const REPORT = { type: 'report', pulls: [{ digest: D, have: 0 }] };
const BAD: [unknown, RegExp][] = [
  [null, /message as a JSON object, but came null/],
  [[], /message as a JSON object, but came \[\]/],
  [{}, /expected type 'ask', 'report', 'done' or 'gone', but came nothing/],
  [{ ...ASK, type: 'lead' }, /type .*"lead"/],
  [{ ...ASK, digest: `sha512:${'0'.repeat(64)}` }, /a sha256 digest, but came "sha512:/],
  [{ ...ASK, digest: D.toUpperCase() }, /a sha256 digest/],
  [{ ...ASK, have: -1 }, /have as a whole number from 0 on, but came -1/],
  [{ ...ASK, have: 0.5 }, /have .*0\.5/],
  [{ ...ASK, have: 2 ** 53 }, /have .*9007199254740992/],
  [{ ...ASK, have: '1' }, /have .*"1"/],
  [{ ...ASK, have: null }, /have .*null/],
  [{ ...ASK, failed: many('a') }, /failed as a list of at most 16/],
  [{ ...ASK, failed: 'a' }, /failed as a list/],
  [{ ...ASK, failed: [''] }, /a peer id, but came ""/],
  [{ ...ASK, failed: ['a'.repeat(129)] }, /a peer id, but came "a{59}…/],
  [{ ...ASK, failed: ['a\n'] }, /a peer id/],
  [{ ...REPORT, pulls: many({ digest: D, have: 0 }) }, /pulls as a list/],
  [{ ...REPORT, pulls: [1] }, /pull as a JSON object, but came 1/],
  [{ ...REPORT, pulls: [{ digest: D }] }, /have .*nothing/],
  [{ ...REPORT, pulls: [{ digest: D, have: 0, source: null }] }, /a peer id, but came null/],
  [{ type: 'done' }, /a sha256 digest, but came nothing/],
  [{ type: 'gone', digest: D, isSpoilt: 1 }, /isSpoilt as true or false, but came 1/],
];
for (const [said, expected] of BAD) {
  const text = JSON.stringify(said);
  test(`is refused: ${text.slice(0, 90)}`, () => {
    assert.throws(() => decodeTrackerMessage(Buffer.from(text)), expected);
  });
}

test('more than 8 KiB is neither read nor sent', () => {
  assert.throws(() => decodeAnswer(Buffer.alloc(8_193, 0x20)), /at most 8192 bytes, but came 8193/);
  const source = { peer: 'a'.repeat(9_000), isWhole: true };
  assert.throws(
    () => encodeTrackerMessage({ role: 'follow', sources: [source], depth: 0 }),
    /at most 8192/,
  );
});
