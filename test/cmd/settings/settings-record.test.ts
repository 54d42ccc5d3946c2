import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { recordedRun, recordedRunIfReadable } from '../../../cmd/settings/settings-record.ts';

const NOBODY = 65_534;

/** Does the work as a user to whom modes apply, which root is not. */
function asUser<T>(work: () => T): T {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(NOBODY);
  try {
    return work();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

test('a note of a command is left out where the record of the unit is not readable', (t) => {
  const parent = mkdtempSync(join(tmpdir(), 'spegel-record-'));
  const directory = join(parent, 'spegel-configuration');
  mkdirSync(directory);
  t.after(() => {
    chmodSync(directory, 0o700);
    rmSync(parent, { recursive: true });
  });
  chmodSync(parent, 0o755);
  assert.equal(recordedRunIfReadable(directory), undefined);
  writeFileSync(join(directory, 'environment.json'), '{"REGISTRY_ADDR":":5010"}');
  assert.deepEqual(recordedRunIfReadable(directory)?.env, { REGISTRY_ADDR: ':5010' });

  chmodSync(directory, 0);
  assert.equal(
    asUser(() => recordedRunIfReadable(directory)),
    undefined,
  );
  // The service has to read it: there it is an error.
  assert.throws(() => asUser(() => recordedRun(directory)), { code: 'EACCES' });
});
