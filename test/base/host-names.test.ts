import assert from 'node:assert/strict';
import { test } from 'node:test';
import { searchDomains } from '../../lib/base/host-names.ts';

test('the last search list counts, and what is no domain is left out', () => {
  assert.deepEqual(searchDomains('nameserver 10.0.0.1\n'), []);
  assert.deepEqual(searchDomains('domain a.example\n'), ['a.example']);
  assert.deepEqual(searchDomains('search a.example\nsearch b.example\t. c.example\n'), [
    'b.example',
    'c.example',
  ]);
  assert.deepEqual(searchDomains('# search a.example\noptions search\n'), []);
});
