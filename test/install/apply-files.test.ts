import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { applyFiles } from '../../lib/install/apply-files.ts';
import { diskFindings } from '../../lib/install/checks/disk-check.ts';
import { changeFor, type InstallFile } from '../../lib/install/system/files.ts';

function scratch(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'spegel-place-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

const wanted = (path: string): InstallFile => ({ path, mode: 0o644, content: 'new\n' });
const changesOf = (files: readonly InstallFile[]) => files.flatMap((file) => changeFor(file) ?? []);

test('when one file cannot be put in place, what was added before is gone again', (t) => {
  const dir = scratch(t);
  writeFileSync(join(dir, 'old'), 'old\n');
  mkdirSync(join(dir, 'taken/inside'), { recursive: true });
  const files = ['added', 'old', 'taken', 'never'].map((name) => wanted(join(dir, name)));
  assert.throws(() => applyFiles(files, changesOf(files)), {
    code: 'ERR_INSTALL',
    message: new RegExp(`${dir}/taken: .*already: ${dir}/old \\(change\\); all else is as it was`),
  });
  assert.deepEqual(readdirSync(dir).sort(), ['old', 'taken']);
  assert.equal(readFileSync(join(dir, 'old'), 'utf8'), 'new\n');
});

test('a file where a directory is to be is told before, once for all that would lie there', (t) => {
  const dir = scratch(t);
  writeFileSync(join(dir, 'bin'), '');
  const files = ['bin/a', 'bin/b', 'other/c'].map((name) => wanted(join(dir, name)));
  const findings = diskFindings(files, changesOf(files), [join(dir, 'certs.d')]);
  assert.deepEqual(
    findings.map(({ kind, about }) => [kind, about]),
    [['obstacle', 'writable']],
  );
  assert.match(findings[0]?.message ?? '', /bin\/a, \S+bin\/b; got something else/);
});

test('where there is room nothing is said, of directories that are to be made either', (t) => {
  const dir = scratch(t);
  const files = [wanted(join(dir, 'a/b/c'))];
  assert.deepEqual(diskFindings(files, changesOf(files), [join(dir, 'x/y')]), []);
});
