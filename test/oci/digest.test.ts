import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf, hexOf, isDigest } from '../../lib/oci/digest.ts';
import { mutated, Random, randomDigest } from './random.ts';

const EMPTY = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

test('digestOf is the sha256 of the bytes', () => {
  assert.equal(digestOf(new Uint8Array()), EMPTY);
  assert.equal(
    digestOf(Buffer.from('abc')),
    'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
});

test('digestOf of a view covers the view only', () => {
  const whole = Buffer.from('xxabcxx');
  assert.equal(digestOf(whole.subarray(2, 5)), digestOf(Buffer.from('abc')));
});

test('hexOf is the name of the blob file', () => {
  assert.equal(hexOf(digestOf(new Uint8Array())), EMPTY.slice(7));
});

const notDigests = {
  empty: '',
  'no algorithm': EMPTY.slice(7),
  'algorithm only': 'sha256:',
  'another algorithm': `sha512:${'a'.repeat(128)}`,
  'upper-case hex': EMPTY.toUpperCase(),
  'upper-case hex, lower-case algorithm': `sha256:${EMPTY.slice(7).toUpperCase()}`,
  'one digit short': EMPTY.slice(0, -1),
  'one digit more': `${EMPTY}0`,
  'line end': `${EMPTY}\n`,
  'line before': `x\n${EMPTY}`,
  'space before': ` ${EMPTY}`,
  'not hex': `sha256:${'g'.repeat(64)}`,
  'path out of the store': `sha256:../../${'a'.repeat(58)}`,
  'full-width digits': `sha256:${'０'.repeat(64)}`,
};
for (const [name, text] of Object.entries(notDigests)) {
  test(`no digest: ${name}`, () => assert.equal(isDigest(text), false));
}

test('fuzz: digests are, whatever passes is 71 characters of the alphabet', () => {
  const random = new Random(1);
  for (let round = 0; round < 5_000; round += 1) {
    const digest = randomDigest(random);
    assert.ok(isDigest(digest), digest);
    const text = mutated(random, digest);
    if (isDigest(text)) assert.match(text, /^sha256:[0-9a-f]{64}$/);
  }
});
