import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatContentRange,
  formatRange,
  parseContentRange,
  parseRange,
  resolveRange,
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
