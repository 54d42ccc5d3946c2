/**
 * The executable of a release before this one, built from its commit: once per machine, into the
 * lab's directory, where its source is not to be found afterwards.
 */
import { access, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type CommandError, run } from '../processes/exec.ts';
import { withLock } from '../processes/lock.ts';
import { LAB_DIR } from './programs.ts';

/** The commit of the release before this one; raise it with each release. */
export const FORMER_COMMIT =
  process.env.SPEGEL_FORMER_COMMIT ?? '72855d6480ec7c21d124ad58c617ca4bb7c2dc0d';

const ROOT = resolve(import.meta.dirname, '../..');
const NAME = FORMER_COMMIT.slice(0, 12);
/** `npm ci`, where its packages are others, and the build. */
const BUILD_TIMEOUT_MS = 5 * 60_000;

/** Where it is when `formerMissing` has said that it can be had. */
export const FORMER_EXECUTABLE = join(LAB_DIR, 'releases', NAME, 'spegel');

const say = (line: string) => process.stderr.write(`lab: ${line}\n`);
const git = (directory: string, ...words: string[]) => run(['git', '-C', directory, ...words]);

/** For node:test's `skip`: why it cannot be had here, else false. Builds it, in seconds. */
export async function formerMissing(): Promise<string | false> {
  if (await isThere(FORMER_EXECUTABLE)) return false;
  const hasCommit = await git(ROOT, 'cat-file', '-e', `${FORMER_COMMIT}^{commit}`).then(
    () => true,
    () => false,
  );
  if (!hasCommit) return `no release before this one: the commit ${NAME} is not in this history`;
  try {
    await withLock(join(LAB_DIR, 'lock-releases'), async () => {
      if (!(await isThere(FORMER_EXECUTABLE))) await build();
    });
    return false;
  } catch (error) {
    const { stderr = String(error) } = error as Partial<CommandError>;
    return `no release before this one: ${NAME} does not build: ${stderr.trim().split('\n').at(-1)}`;
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** It appears whole or not at all. */
async function build(): Promise<void> {
  say(`building the release before this one, ${NAME} (once per machine)`);
  const source = `${dirname(FORMER_EXECUTABLE)}.source`;
  await rm(source, { recursive: true, force: true });
  await mkdir(dirname(source), { recursive: true });
  try {
    // A clone, so that it knows its commit; a worktree would be an entry in the user's repository.
    await run(['git', 'clone', '--quiet', '--no-checkout', '--shared', ROOT, source]);
    await git(source, 'checkout', '--quiet', '--detach', FORMER_COMMIT);
    await providePackages(source);
    const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
    const node = join(source, `node_modules/node-linux-${arch}/bin/node`);
    await run([node, 'scripts/build.ts'], { cwd: source, timeoutMs: BUILD_TIMEOUT_MS });
    await rm(dirname(FORMER_EXECUTABLE), { recursive: true, force: true });
    await rename(join(source, 'dist'), dirname(FORMER_EXECUTABLE));
  } finally {
    await rm(source, { recursive: true, force: true });
  }
}

/** Those of this checkout where the lists of both are the same, else its own. */
async function providePackages(source: string): Promise<void> {
  const lists = [ROOT, source].map((root) => readFile(join(root, 'package-lock.json'), 'utf8'));
  const [own, former] = await Promise.all(lists);
  if (own === former) {
    await symlink(join(ROOT, 'node_modules'), join(source, 'node_modules'));
    // Its .gitignore means a directory: a link would make a changed source of it.
    await writeFile(join(source, '.git/info/exclude'), 'node_modules\n');
    return;
  }
  const words = ['npm', 'ci', '--no-audit', '--no-fund', '--loglevel=error'];
  await run(words, { cwd: source, timeoutMs: BUILD_TIMEOUT_MS });
}
