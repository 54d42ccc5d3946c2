import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const ROOT = join(import.meta.dirname, '..', '..');
const COMMIT_TIME = 1_700_000_000;

const run = promisify(execFile);

const skip = existsSync(join(ROOT, '.git')) ? false : 'needs a git checkout';

/**
 * The files of the work tree in a repository of their own, whose one commit has the same hash
 * everywhere.
 */
async function checkout(directory: string): Promise<void> {
  const listed = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const { stdout } = await run('git', listed, { cwd: ROOT });
  for (const file of stdout.split('\0').filter((name) => name !== '')) {
    if (existsSync(join(ROOT, file))) await cp(join(ROOT, file), join(directory, file));
  }
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  const person = ['-c', 'user.name=test', '-c', 'user.email=test@localhost', '-c', 'gc.auto=0'];
  const date = `${COMMIT_TIME} +0000`;
  const env = { ...process.env, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date };
  const git = (...words: string[]) => run('git', [...person, ...words], { cwd: directory, env });
  await git('init', '--quiet');
  // .gitignore names the directory node_modules/, not a link to it.
  await git('add', '--all', '--', '.', ':!node_modules');
  await git('commit', '--quiet', '--no-verify', '--message', 'test');
  await cp(join(directory, '.gitignore'), join(directory, '.git', 'info', 'exclude'));
  await run('sh', ['-c', 'echo node_modules >> .git/info/exclude'], { cwd: directory });
}

/** Builds with the fastest compression, by the scripts in the directory. */
async function releaseIn(
  directory: string,
  umask: string,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const dist = join(directory, 'dist');
  await mkdir(dist);
  const settings = { root: directory, dist, architectures: ['x64', 'arm64'], level: 0 };
  const script = `import { release } from ${JSON.stringify(join(directory, 'scripts/release.ts'))};
    await release(${JSON.stringify(settings)});`;
  const command = `umask ${umask} && exec "$0" --input-type=module --eval "$1"`;
  const { SOURCE_DATE_EPOCH: _, ...rest } = process.env;
  await run('sh', ['-c', command, process.execPath, script], {
    env: { ...rest, ...env },
    cwd: '/',
  });
  return readFile(join(dist, 'SHA256SUMS'), 'utf8');
}

test('one commit, built in two folders and two environments, gives the same bytes', {
  skip,
}, async (t) => {
  const parent = await mkdtemp(join(tmpdir(), 'spegel-reproducible-'));
  t.after(() => rm(parent, { recursive: true, force: true }));
  const first = join(parent, 'a');
  const second = join(parent, 'a much longer name, with spaces');
  await checkout(first);
  await checkout(second);

  const sums = await releaseIn(first, '022', { TZ: 'UTC', LC_ALL: 'C' });
  const again = await releaseIn(second, '077', {
    TZ: 'Asia/Tokyo',
    LC_ALL: 'C.UTF-8',
    XZ_OPT: '-1',
    TAR_OPTIONS: '--owner=nobody',
    HOME: '/nonexistent',
  });

  assert.equal(again, sums);
  for (const arch of ['amd64', 'arm64']) {
    assert.match(sums, new RegExp(`^[0-9a-f]{64} {2}spegel_\\S+_linux_${arch}\\.tar\\.xz$`, 'm'));
  }
  await t.test('files bear the time of the commit and no owner', async () => {
    const [file = ''] = /spegel_\S+\.tar\.xz/.exec(sums) ?? [];
    const env = { ...process.env, TZ: 'UTC' };
    const words = ['--list', '--verbose', '--numeric-owner', '--file', join(first, 'dist', file)];
    const { stdout } = await run('tar', words, { env });
    const lines = stdout.trim().split('\n');
    assert.ok(lines.length > 8, stdout);
    for (const line of lines) assert.match(line, /^\S+ 0\/0 +\d+ 2023-11-14 22:13 spegel_/);
    assert.ok(
      lines.some((line) => /^-rwxr-xr-x .*\/spegel$/.test(line)),
      stdout,
    );
  });
});
