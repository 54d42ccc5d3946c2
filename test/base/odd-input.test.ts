/** What fuzzing found, in its smallest form. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ipv6Groups } from '../../lib/base/address.ts';
import { parseDuration } from '../../lib/base/duration.ts';

test('an IPv6 address that ends as IPv4 has eight groups', () => {
  assert.deepEqual(ipv6Groups('::1.2.3.4'), [0, 0, 0, 0, 0, 0, 0x102, 0x304]);
});

test('a number of 64 KiB without a unit is no duration, and is so at once', () => {
  const before = process.threadCpuUsage();
  assert.equal(parseDuration('0'.repeat(65_536)), undefined);
  const { user } = process.threadCpuUsage(before);
  assert.ok(user < 1_000_000, `${user / 1_000} ms`);
});
