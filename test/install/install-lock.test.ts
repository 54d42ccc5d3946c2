import assert from 'node:assert/strict';
import { mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { withInstallLock } from '../../lib/install/install-lock.ts';

test('one install at a time: the second is refused, the next one runs', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-sole-'));
  t.after(() => rm(dir, { recursive: true }));
  const path = join(dir, 'lock');
  const running = Promise.withResolvers<string>();
  const first = withInstallLock(() => running.promise, path);
  const second = withInstallLock(async () => assert.fail('two at once'), path);
  await assert.rejects(second, /another spegel install or uninstall is at work .* run this again/);
  running.resolve('done');
  assert.equal(await first, 'done');
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  await assert.rejects(
    withInstallLock(() => Promise.reject(new Error('its own')), path),
    /its own/,
  );
  assert.equal(await withInstallLock(async () => 'again', path), 'again');
});

test('a link in the place of the lock is not followed', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-sole-'));
  t.after(() => rm(dir, { recursive: true }));
  const path = join(dir, 'lock');
  await symlink(join(dir, 'elsewhere'), path);
  await assert.rejects(
    withInstallLock(async () => {}, path),
    /expected to make .*lock, got ELOOP/,
  );
});
