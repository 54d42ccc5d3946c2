import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { distance, kadPoint, multihashOf } from '../../../lib/routing/dht/keys.ts';
import { fleetSize, keysOfParts, partBits } from '../../../lib/routing/membership/discovery.ts';

test('the size of a fleet is estimated from those closest to a key', () => {
  const ids = Array.from({ length: 5_000 }, () => randomBytes(38));
  const key = multihashOf('key');
  const far = (id: Uint8Array) => distance(kadPoint(key), kadPoint(id));
  const closest = ids.toSorted((a, b) => far(a) - far(b)).slice(0, 256);
  const size = fleetSize(
    key,
    closest.map((id) => ({ id, addresses: [] })),
  );
  assert.ok(size > 3_500 && size < 6_500, `${size} of 5,000`);
});

test('each part of the key space has a key', () => {
  assert.equal(partBits(50, 100), 0);
  assert.equal(partBits(5_000, 100), 6);
  assert.equal(partBits(10_000_000, 100), 7);
  for (const bits of [0, 3, 7]) {
    const parts = keysOfParts(bits).map((key) => kadPoint(key).high >> (24 - bits));
    assert.deepEqual(
      parts.toSorted((a, b) => a - b),
      Array.from({ length: 2 ** bits }, (_, part) => part),
    );
  }
});
