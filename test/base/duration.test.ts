import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDuration, parseDuration } from '../../lib/base/duration.ts';

test('Go durations, in milliseconds', () => {
  const cases: Record<string, number> = {
    '0': 0,
    '0s': 0,
    '200ms': 200,
    '1s': 1000,
    '1m30s': 90_000,
    '1h': 3_600_000,
    '1h0m0.5s': 3_600_500,
    '1.5h': 5_400_000,
    '.5s': 500,
    '1.s': 1000,
    '+2s': 2000,
    '-2s': -2000,
    '1us': 0.001,
    '1µs': 0.001,
    '1μs': 0.001,
    '1ns': 1e-6,
    '1s1s': 2000,
    '1ms1h': 3_600_001,
  };
  for (const [text, ms] of Object.entries(cases)) assert.equal(parseDuration(text), ms, text);
});

test('what Go does not take either', () => {
  const wrong = [
    '',
    ' ',
    '1',
    '00',
    '1 s',
    ' 1s',
    '1s ',
    's',
    '.s',
    '1..5s',
    '1d',
    '1S',
    '1e3s',
    '--1s',
    '+-1s',
    '-',
    '1m30',
    '1s\n',
    'NaN',
    'Infinity',
    '0x1s',
    '1,5s',
    `${'9'.repeat(400)}h`,
  ];
  for (const text of wrong) assert.equal(parseDuration(text), undefined, JSON.stringify(text));
});

test('the shortest form is written', () => {
  const cases: [number, string][] = [
    [0, '0s'],
    [1, '1ms'],
    [0.5, '0.5ms'],
    [999, '999ms'],
    [1000, '1s'],
    [1500, '1.5s'],
    [60_000, '1m'],
    [90_000, '1m30s'],
    [3_600_000, '1h'],
    [3_601_000, '1h1s'],
    [90_061_001, '25h1m1.001s'],
    [-1500, '-1.5s'],
  ];
  for (const [ms, text] of cases) assert.equal(formatDuration(ms), text);
});

test('property: whole milliseconds come back', () => {
  for (let ms = 1; ms < 1e10; ms = Math.ceil(ms * 1.013) + 1) {
    const text = formatDuration(ms);
    assert.ok(Math.abs((parseDuration(text) ?? Number.NaN) - ms) < 1e-3, text);
  }
});
