import assert from 'node:assert/strict';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { deadLinkFindings } from '../../../lib/install/checks/host-check.ts';

test('settings that are a link to nothing are in the way: they would not be written', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-link-'));
  t.after(() => rm(dir, { recursive: true }));
  const path = join(dir, 'spegel.env');
  assert.deepEqual(deadLinkFindings(path), [], 'nothing is there');
  await symlink(join(dir, 'elsewhere'), path);
  const [finding] = deadLinkFindings(path);
  assert.equal(finding?.kind, 'obstacle');
  assert.match(finding?.message ?? '', /got a link to nothing/);
  await writeFile(join(dir, 'elsewhere'), 'LOG_LEVEL=INFO\n');
  assert.deepEqual(deadLinkFindings(path), [], 'a link to a file');
});
