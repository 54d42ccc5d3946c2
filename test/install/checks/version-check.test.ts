import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareVersions } from '../../../lib/install/checks/version-check.ts';

test('versions are ordered as Semantic Versioning orders them', () => {
  const rising = [
    '0.1.0-alpha',
    '0.1.0-alpha.1',
    '0.1.0-alpha.beta',
    '0.1.0-rc.2',
    '0.1.0-rc.10',
    '0.1.0',
    '0.1.1',
    '0.2.0',
    '0.10.0',
    'v1.0.0',
  ];
  for (const [at, one] of rising.entries()) {
    for (const [index, other] of rising.entries()) {
      const order = Math.sign(compareVersions(one, other) ?? Number.NaN);
      assert.equal(order, Math.sign(at - index), `${one} and ${other}`);
    }
  }
  assert.equal(compareVersions('0.1.0+a', '0.1.0+b'), 0);
});

test('what is no version is only the same or another', () => {
  assert.equal(compareVersions('dev', 'dev'), 0);
  assert.equal(compareVersions('dev', '0.1.0'), undefined);
});
