import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseEnvironmentFile } from '../../lib/systemd/environment-syntax.ts';
import { ODD_ENVIRONMENT, ODD_ENVIRONMENT_FILE } from '../support/odd-environment.ts';

test('an environment file is read as systemd reads it', () => {
  assert.deepEqual(parseEnvironmentFile(ODD_ENVIRONMENT_FILE), ODD_ENVIRONMENT);
});

test('the ends of lines of other systems are ends of lines', () => {
  assert.deepEqual(parseEnvironmentFile('A=1\r\nB="x"\rC=3'), { A: '1', B: 'x', C: '3' });
});

test('a long file costs no more than its length', () => {
  const began = performance.now();
  for (const text of ['\\', '"', "'", ' ', 'A="', '\\"', 'A=" ']) {
    parseEnvironmentFile(`A=${text.repeat(100_000)}`);
    parseEnvironmentFile(text.repeat(100_000));
    parseEnvironmentFile(`A=${text}'"\r\n`.repeat(20_000));
  }
  assert.ok(performance.now() - began < 5_000);
});
