import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BufferPool } from '../../lib/http/buffers.ts';
import { type ByteReader, FileBody } from '../../lib/http/file-body.ts';

const SIZES = { largeBytes: 1024, maxLarge: 2, smallBytes: 128 };

test('a buffer is used again, and beyond so many in use further ones are small', () => {
  const pool = new BufferPool(SIZES);
  const [first, second, third] = [pool.take(), pool.take(), pool.take()];
  assert.deepEqual(
    [first, second, third].map((buffer) => buffer.byteLength),
    [1024, 1024, 128],
  );
  assert.equal(pool.isCrowded, true);
  pool.give(third);
  pool.give(first);
  assert.equal(pool.isCrowded, false);
  assert.equal(pool.take(), first);
  pool.lost();
  assert.equal(pool.isCrowded, false);
  assert.notEqual(pool.take(), first);
});

/** Of content that has one byte; what is beyond it is asked for, and fails. */
function readerOf(fails: boolean): ByteReader {
  return {
    read: async (_buffer, position) => {
      if (fails && position > 0) throw new Error('the disk is gone');
      return 1;
    },
    close: async () => {},
  };
}

for (const fails of [false, true]) {
  test(`bodies give all of their places back${fails ? ', also when a read fails' : ''}`, async () => {
    const pool = new BufferPool(SIZES);
    const signal = new AbortController().signal;
    for (let count = 0; count < 5; count += 1) {
      const body = new FileBody(readerOf(fails), { start: 0, end: 3 }, pool, signal);
      await body.next();
      await body.next().catch(() => {});
      body.close();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const buffers = [pool.take(), pool.take(), pool.take()];
    assert.deepEqual(
      buffers.map((buffer) => buffer.byteLength),
      [1024, 1024, 128],
    );
  });
}
