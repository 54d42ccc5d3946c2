import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRate } from '../../../cmd/options/values.ts';

test('rates: decimal and binary units, with and without the second', () => {
  const rates = {
    '0': 0,
    '1000000': 1_000_000,
    '7B': 7,
    '8B/s': 8,
    '9/s': 9,
    '1kB/s': 1_000,
    '1KB': 1_000,
    '1MB/s': 1_000_000,
    '1.5MB/s': 1_500_000,
    '2GB/s': 2_000_000_000,
    '1KiB/s': 1_024,
    '0.5MiB': 524_288,
    '1GiB/s': 1_073_741_824,
  };
  for (const [text, rate] of Object.entries(rates)) assert.equal(parseRate(text), rate, text);
});

test('what is no rate is refused', () => {
  for (const text of [
    '',
    's',
    '/s',
    '1/S',
    '1mb',
    '1MBps',
    '1M',
    '1Mi',
    '1.',
    '.5MB',
    '1.2345MB',
    '0x1',
    '1B/s/s',
    ' 1',
    '1\n',
    'NaN',
    'Infinity',
    '1'.repeat(10),
  ]) {
    assert.throws(() => parseRate(text), /a rate such as 1MB\/s or 512KiB\/s/, text);
  }
});
