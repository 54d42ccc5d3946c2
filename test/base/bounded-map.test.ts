import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BoundedMap } from '../../lib/base/bounded-map.ts';

test('in a full map the oldest entry makes room, and an entry that is set again is the newest', () => {
  const map = new BoundedMap<string, number>(2);
  map.set('a', 1).set('b', 2).set('a', 3);
  assert.deepEqual(
    [...map],
    [
      ['b', 2],
      ['a', 3],
    ],
  );
  map.set('c', 4);
  assert.deepEqual([...map.keys()], ['a', 'c']);
  map.set('c', 5);
  assert.deepEqual([...map.values()], [3, 5]);
  map.delete('a');
  map.set('d', 6);
  assert.deepEqual([...map.keys()], ['c', 'd']);
});
