import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatContentRange,
  formatRange,
  parseContentRange,
  parseRange,
  parseRanges,
  resolveRange,
  resolveRanges,
} from '../../lib/http/ranges.ts';

/** What `header` means in 10 bytes: [start, end], 416 or ignored. */
function meaning(header: string): unknown {
  const spec = parseRange(header);
  if (spec === undefined) return 'ignored';
  const range = resolveRange(spec, 10);
  return range === undefined ? 416 : [range.start, range.end];
}

test('a Range header means what RFC 9110 says', () => {
  const cases: Record<string, unknown> = {
    'bytes=0-': [0, 10],
    'bytes=4-': [4, 10],
    'bytes=0-0': [0, 1],
    'bytes=2-5': [2, 6],
    'bytes=2-500': [2, 10],
    'BYTES=2-5': [2, 6],
    'bytes= 2-5': [2, 6],
    'bytes=2-5,': [2, 6],
    'bytes=-3': [7, 10],
    'bytes=-300': [0, 10],
    'bytes=-0': 416,
    'bytes=10-': 416,
    'bytes=10-20': 416,
    'bytes=99999999999999999999999-': 416,
    'bytes=5-2': 'ignored',
    'bytes=1-2,4-5': 'ignored',
    'bytes=-': 'ignored',
    'bytes=': 'ignored',
    'bytes=a-b': 'ignored',
    'bytes=1-2-3': 'ignored',
    'bytes=+1-2': 'ignored',
    'bytes=0x1-2': 'ignored',
    'items=0-5': 'ignored',
    'bytes 0-5': 'ignored',
    '': 'ignored',
    garbage: 'ignored',
  };
  for (const [header, expected] of Object.entries(cases)) {
    assert.deepEqual(meaning(header), expected, header);
  }
  assert.equal(parseRange(undefined), undefined);
});

/**
 * What several ranges mean in 10 bytes: the parts as `start-end`, the end not included; 416 or
 * ignored.
 */
function meaningOfSeveral(header: string): unknown {
  const specs = parseRanges(header);
  if (specs.length === 0) return 'ignored';
  const ranges = resolveRanges(specs, 10).map(({ start, end }) => `${start}-${end}`);
  return ranges.length === 0 ? 416 : ranges.join(' ');
}

test('a Range header with several ranges means what RFC 9110 says', () => {
  const cases: Record<string, unknown> = {
    'bytes=0-1,4-5': '0-2 4-6',
    'bytes= 0-1 ,\t4-5 ,, ': '0-2 4-6',
    // Unordered ones stay as they are.
    'bytes=7-8,0-1,4-4': '7-9 0-2 4-5',
    'bytes=-2,0-1': '8-10 0-2',
    'bytes=0-0,5-,2-2': '0-1 5-10 2-3',
    // What overlaps, touches or comes twice is one, at the place of the first of them.
    'bytes=0-4,3-6': '0-7',
    'bytes=3-6,0-4': '0-7',
    'bytes=0-1,2-3': '0-4',
    'bytes=0-1,0-1': '0-2',
    'bytes=0-,0-,0-,1-,2-': '0-10',
    'bytes=8-8,0-1,7-7,4-4': '7-9 0-2 4-5',
    'bytes=4-4,0-1,8-8,-3': '4-5 0-2 7-10',
    'bytes=0-1,4-5,1-4': '0-6',
    'bytes=0-9,2-3': '0-10',
    'bytes=-3,-5': '5-10',
    'bytes=0-1,5-99': '0-2 5-10',
    // What is beyond the end is left out.
    'bytes=0-1,10-': '0-2',
    'bytes=50-60,0-1,-0,4-5': '0-2 4-6',
    'bytes=10-,-0': 416,
    'bytes=10-,99999999999999999999999-': 416,
    // One that is wrong makes all of them wrong.
    'bytes=0-1,5-2': 'ignored',
    'bytes=0-1,x': 'ignored',
    'bytes=0-1,-': 'ignored',
    'bytes=0-1 4-5': 'ignored',
    'bytes=0-1,bytes=4-5': 'ignored',
    'items=0-1,4-5': 'ignored',
    'bytes=,,': 'ignored',
  };
  for (const [header, expected] of Object.entries(cases)) {
    assert.deepEqual(meaningOfSeveral(header), expected, header);
  }
});

test('64 ranges are read, 65 are ignored, also where they mean the same', () => {
  const header = (count: number, range: (index: number) => string) =>
    `bytes=${Array.from({ length: count }, (_, index) => range(index)).join(',')}`;
  const apart = (index: number) => `${2 * index}-${2 * index}`;
  assert.equal(resolveRanges(parseRanges(header(64, apart)), 1_000).length, 64);
  assert.deepEqual(parseRanges(header(65, apart)), []);
  assert.equal(resolveRanges(parseRanges(header(64, () => '0-')), 1_000).length, 1);
  assert.deepEqual(parseRanges(header(65, () => '0-')), []);
});

test('any ranges mean the bytes that they name, each once and in the order of their first', () => {
  for (let round = 0; round < 500; round += 1) {
    const some = Array.from({ length: 1 + (round % 9) }, () => {
      const start = Math.floor(Math.random() * 30);
      return { kind: 'closed', start, last: start + Math.floor(Math.random() * 6) } as const;
    });
    const named = new Set<number>();
    for (const { start, last } of some) {
      for (let at = start; at <= Math.min(last, 24); at += 1) named.add(at);
    }
    const ranges = resolveRanges(some, 25);
    const given = ranges.flatMap(({ start, end }) =>
      Array.from({ length: end - start }, (_, index) => start + index),
    );
    const text = JSON.stringify(some);
    assert.deepEqual(
      given.toSorted((a, b) => a - b),
      [...named].toSorted((a, b) => a - b),
      text,
    );
    const places = ranges.map(({ start, end }) =>
      some.findIndex((one) => one.start >= start && one.start < end),
    );
    assert.deepEqual(
      places,
      places.toSorted((a, b) => a - b),
      text,
    );
  }
});

test('nothing has no range', () => {
  for (const header of ['bytes=0-', 'bytes=-1', 'bytes=0-0']) {
    const spec = parseRange(header);
    assert.ok(spec);
    assert.equal(resolveRange(spec, 0), undefined);
  }
});

test('ranges are written as they are read', () => {
  for (const header of ['bytes=4-', 'bytes=2-5', 'bytes=-3']) {
    const spec = parseRange(header);
    assert.ok(spec);
    assert.equal(formatRange(spec), header);
  }
  const text = formatContentRange({ start: 2, end: 6 }, 10);
  assert.equal(text, 'bytes 2-5/10');
  assert.deepEqual(parseContentRange(text), { range: { start: 2, end: 6 }, size: 10 });
});

test('a Content-Range that contradicts itself is none', () => {
  const bad = ['', 'bytes 2-5/*', 'bytes 5-2/10', 'bytes 2-10/10', 'bytes */10', 'items 0-1/2'];
  for (const text of [...bad, 'bytes 0-1/2 ', 'bytes -1-1/2', undefined]) {
    assert.equal(parseContentRange(text), undefined, String(text));
  }
});
