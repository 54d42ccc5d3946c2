import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DataDirectoryLock } from '../../lib/base/data-directory-lock.ts';
import { createLogger } from '../../lib/base/log.ts';

const { signal } = new AbortController();

function directory(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'spegel-data-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

function lockOf(t: TestContext, dir: string) {
  const lines: string[] = [];
  const lock = new DataDirectoryLock(
    { log: createLogger('INFO', (line) => lines.push(line)) },
    dir,
  );
  t.after(() => lock.stop());
  return { lock, lines };
}

test('a second daemon does not start on the same data directory, and names the first', async (t) => {
  const dir = join(directory(t), 'made', 'on-demand');
  const [first, second] = [lockOf(t, dir), lockOf(t, dir)];
  await first.lock.start(signal);
  await assert.rejects(second.lock.start(signal), {
    code: 'ERR_DATA_DIR',
    message: `data directory ${dir}: expected one that no other daemon uses, got one of spegel with process id ${process.pid}, which runs; stop that one, or give this one a directory of its own with --data-dir`,
  });
  await second.lock.stop();
  assert.equal(readFileSync(join(dir, 'lock'), 'utf8'), `${process.pid}\n`);
  await first.lock.stop();
  assert.equal(readFileSync(join(dir, 'lock'), 'utf8'), '');
  await lockOf(t, dir).lock.start(signal);
  assert.deepEqual(first.lines.concat(second.lines), []);
});

test('one that was killed leaves no lock, whatever it has written', async (t) => {
  const dir = directory(t);
  const module = new URL('../../lib/base/data-directory-lock.ts', import.meta.url).href;
  const script = `
    const { DataDirectoryLock } = await import('${module}');
    await new DataDirectoryLock({ log: console }, '${dir}').start(new AbortController().signal);
    console.log('locked');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  const { lock } = lockOf(t, dir);
  await assert.rejects(lock.start(signal), new RegExp(`process id ${child.pid}, which runs`));
  await lock.stop();
  child.kill('SIGKILL');
  // At once: the kernel may still be taking it apart.
  await lockOf(t, dir).lock.start(signal);
});

test('a lock file that is none is left alone, and no reason to fail', async (t) => {
  const dir = directory(t);
  const kept = join(dir, 'kept');
  writeFileSync(kept, 'kept');
  const { symlinkSync } = await import('node:fs');
  symlinkSync(kept, join(dir, 'lock'));
  await lockOf(t, dir).lock.start(signal);
  assert.equal(readFileSync(kept, 'utf8'), 'kept');
});

test('nothing on disk needs no lock', async (t) => {
  await Promise.all([lockOf(t, '').lock.start(signal), lockOf(t, '').lock.start(signal)]);
});
