import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLOCK_TOLERANCE_S, SIGNATURE_VALID_S } from '../../lib/network-key/constants.ts';
import { networkKey } from '../../lib/network-key/network-key.ts';
import { isProof, proofOf, signRequest, verifyRequest } from '../../lib/network-key/signature.ts';

const ONE = networkKey(Buffer.alloc(32, 1));
const TWO = networkKey(Buffer.alloc(32, 2));
const OTHER = networkKey(Buffer.alloc(32, 3));
const REQUEST = { method: 'GET', path: '/v2/a/b/manifests/v1?ns=example.com' };
const NOW = Date.parse('2026-11-23T12:00:00Z');
const SIGNED = signRequest(ONE, REQUEST, NOW);

function reasonOf(
  signature: string | undefined,
  { request = REQUEST, keys = [ONE, TWO], now = NOW } = {},
): string {
  const verdict = verifyRequest(keys, request, signature, now);
  return verdict.isValid ? 'valid' : verdict.reason;
}

test('a signature is accepted under any of the keys', () => {
  assert.match(SIGNED, /^v1 \d{10} [0-9a-f]{64}$/);
  for (const keys of [[ONE], [ONE, TWO], [TWO, ONE]]) {
    assert.equal(reasonOf(SIGNED, { keys }), 'valid');
  }
  const verdict = verifyRequest([TWO, ONE], REQUEST, SIGNED, NOW);
  assert.ok(verdict.isValid && verdict.key === ONE && verdict.signature === SIGNED);
});

test('another key, method, path or expiry is another signature', () => {
  const another = /another network key, or for another request/;
  assert.match(reasonOf(SIGNED, { keys: [OTHER] }), another);
  assert.match(reasonOf(SIGNED, { keys: [] }), another);
  assert.match(reasonOf(SIGNED, { request: { ...REQUEST, method: 'HEAD' } }), another);
  const path = REQUEST.path.replace('v1?', 'v2?');
  assert.match(reasonOf(SIGNED, { request: { ...REQUEST, path } }), another);
  const [, expiry = ''] = SIGNED.split(' ');
  assert.match(reasonOf(SIGNED.replace(expiry, String(Number(expiry) + 1))), another);
  const flipped = SIGNED.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
  assert.match(reasonOf(flipped), another);
});

test('clocks may be apart, but not too far, and the reason shows both', () => {
  const [tolerated, valid] = [CLOCK_TOLERANCE_S * 1_000, SIGNATURE_VALID_S * 1_000];
  for (const apart of [0, valid, valid + tolerated, -tolerated]) {
    assert.equal(reasonOf(SIGNED, { now: NOW + apart }), 'valid', String(apart));
  }
  for (const apart of [valid + tolerated + 1_000, -tolerated - 1_000, 1e12, -1e12]) {
    const reason = reasonOf(SIGNED, { now: NOW + apart });
    const theirs = new Date(NOW).toISOString();
    const ours = new Date(NOW + apart).toISOString();
    assert.ok(reason.includes(`signed at ${theirs}, it is ${ours} here`), reason);
  }
});

test('what has no form is refused, however long', () => {
  assert.match(reasonOf(undefined), /no signature/);
  const malformed = [
    '',
    'v1',
    SIGNED.slice(0, -1),
    `${SIGNED}0`,
    ` ${SIGNED}`,
    `${SIGNED}\n`,
    SIGNED.replace('v1', 'v2'),
    SIGNED.replace(/ [0-9a-f]+$/, (hex) => hex.toUpperCase()),
    `v1 ${'9'.repeat(12)} ${'0'.repeat(64)}`,
    `v1 -1 ${'0'.repeat(64)}`,
    `${SIGNED}, ${SIGNED}`,
    'v1 '.padEnd(1_000_000, '1'),
  ];
  for (const text of malformed) assert.match(reasonOf(text), /malformed/, text.slice(0, 100));
});

test('a proof is of one request, one digest and one key', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const proof = proofOf(ONE, SIGNED, digest);
  assert.ok(isProof(ONE, SIGNED, digest, proof));
  assert.ok(!isProof(TWO, SIGNED, digest, proof));
  assert.ok(!isProof(ONE, signRequest(ONE, REQUEST, NOW + 1_000), digest, proof));
  assert.ok(!isProof(ONE, SIGNED, digest.replace('a', 'b'), proof));
  for (const bad of [undefined, '', proof.slice(1), SIGNED.split(' ')[2], `${proof}0`]) {
    assert.ok(!isProof(ONE, SIGNED, digest, bad));
  }
});

test('a signature has one spelling', () => {
  const request = { method: 'GET', path: '/v2/' };
  const signature = signRequest(ONE, request);
  assert.ok(verifyRequest([ONE], request, signature).isValid);
  const [version, seconds, hex] = signature.split(' ');
  for (const other of [
    `${version} 0${seconds} ${hex}`,
    `${version} ${seconds} ${hex?.toUpperCase()}`,
    `${version}  ${seconds} ${hex}`,
    ` ${signature}`,
    `${signature} `,
    `${signature}\n`,
  ]) {
    assert.ok(!verifyRequest([ONE], request, other).isValid, JSON.stringify(other));
  }
});
