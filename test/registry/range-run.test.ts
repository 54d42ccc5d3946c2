import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Body, collect } from '../../lib/http/body.ts';
import type { ByteRange } from '../../lib/http/ranges.ts';
import { groupRanges, RangeRunReader } from '../../lib/registry/range-run.ts';

const range = (start: number, end: number): ByteRange => ({ start, end });

/** Runs as text: what each asks for, and how many ranges are in it. */
function runs(ranges: readonly ByteRange[], maxGap: number): string[] {
  return groupRanges(ranges, maxGap).map(
    ({ whole, ranges: { length } }) => `${whole.start}-${whole.end}: ${length}`,
  );
}

test('ranges with little between them are one run, as long as they go upwards', () => {
  const close = [range(0, 5), range(15, 20), range(31, 40), range(50, 51)];
  assert.deepEqual(runs(close, 10), ['0-20: 2', '31-51: 2']);
  assert.deepEqual(runs(close, 11), ['0-51: 4']);
  assert.deepEqual(runs(close, 9), ['0-5: 1', '15-20: 1', '31-40: 1', '50-51: 1']);
  const mixed = [range(15, 20), range(0, 5), range(6, 7)];
  assert.deepEqual(runs(mixed, 10), ['15-20: 1', '0-7: 2']);
  assert.deepEqual(runs([], 10), []);
});

/** A body of `bytes` in pieces of that size. */
function piecesOf(bytes: Buffer, size: number): Body {
  let at = 0;
  return {
    async next() {
      if (at === bytes.byteLength) return undefined;
      const piece = bytes.subarray(at, at + size);
      at += piece.byteLength;
      return piece;
    },
    close() {},
  };
}

test('the ranges of a run come out of its body, however that is cut into pieces', async () => {
  const bytes = Buffer.from(Array.from({ length: 60 }, (_, index) => index));
  const ranges = [range(10, 15), range(15, 16), range(20, 41), range(42, 50)];
  const [run] = groupRanges(ranges, 10);
  assert.ok(run);
  for (let size = 1; size <= 40; size += 1) {
    const reader = new RangeRunReader(piecesOf(bytes.subarray(10, 50), size), run);
    for (const { start, end } of ranges) {
      const got = await collect(reader.part({ start, end }), end - start);
      assert.deepEqual(got, bytes.subarray(start, end), `${start}-${end} in pieces of ${size}`);
    }
  }
});

test('a part of a body that ends early ends early', async () => {
  const [run] = groupRanges([range(0, 5), range(10, 20)], 10);
  assert.ok(run);
  const reader = new RangeRunReader(piecesOf(Buffer.alloc(12), 4), run);
  await collect(reader.part(range(0, 5)), 5);
  await assert.rejects(collect(reader.part(range(10, 20)), 10), /2 of 10 bytes/);
});
