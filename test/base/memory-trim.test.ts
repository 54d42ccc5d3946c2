import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryTrim, mallocTrim } from '../../lib/base/memory-trim.ts';

const MIB = 1024 * 1024;

test('memory is given back when more is used than after the last time, and not else', () => {
  let used = 100 * MIB;
  let trims = 0;
  const trim = new MemoryTrim(
    () => used,
    () => {
      trims += 1;
      used -= 10 * MIB;
    },
  );
  const lookAt = (mib: number) => {
    used = mib * MIB;
    trim.trimIfGrown();
    return trims;
  };
  assert.deepEqual([100, 110, 120, 112, 125, 127].map(lookAt), [0, 0, 1, 1, 1, 2]);
  assert.deepEqual([50, 60, 66].map(lookAt), [2, 2, 3], 'less is the new measure');
});

test('this process has such a call', () => {
  const trim = mallocTrim();
  assert.ok(trim !== undefined, 'no malloc_trim');
  trim();
});
