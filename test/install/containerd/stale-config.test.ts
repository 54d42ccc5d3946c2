/**
 * Whether containerd has read its files as they are: by the clock of a real process and of real
 * files.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { importsOfDump } from '../../../lib/install/containerd/cri-settings.ts';
import { staleConfigFile } from '../../../lib/install/containerd/stale-config.ts';

test('a file that was changed after the process was started is told with its time', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'spegel-unread-'));
  t.after(() => rmSync(dir, { recursive: true }));
  mkdirSync(join(dir, 'conf.d'));
  const file = join(dir, 'config.toml');
  const dropIn = join(dir, 'conf.d/a.toml');
  for (const path of [file, dropIn]) writeFileSync(path, '');
  const child = spawn('sleep', ['60']);
  t.after(() => child.kill());
  const pid = child.pid ?? 0;
  const imports = ['/nowhere/*.toml', 'conf.d/*.toml'];
  assert.equal(staleConfigFile(pid, file, imports), undefined);
  // What is written right before a restart has been read.
  await sleep(1_300);
  writeFileSync(dropIn, 'x');
  assert.equal(staleConfigFile(pid, file, imports)?.path, dropIn);
  assert.equal(staleConfigFile(pid, file, []), undefined);
  writeFileSync(file, 'x');
  const unread = staleConfigFile(pid, file, []);
  assert.equal(unread?.path, file);
  assert.ok(Math.abs(Date.parse(unread?.since ?? '') - Date.now()) < 10_000);
  const later = Date.now() / 1_000 + 3_600;
  utimesSync(file, later, later);
  assert.equal(staleConfigFile(pid, file, []), undefined);
  child.kill();
  assert.equal(staleConfigFile(2 ** 30, file, []), undefined);
});

test('the files that a dump says were imported', () => {
  assert.deepEqual(importsOfDump("version = 3\nimports = ['/etc/x/*.toml', 'y']\n"), [
    '/etc/x/*.toml',
    'y',
  ]);
  assert.deepEqual(importsOfDump('version = 2\n'), []);
});
