import { execFileSync } from 'node:child_process';

/**
 * The commit that is built; `unknown` outside a checkout, such as in an unpacked source archive.
 */
export function commitOf(root: string): string {
  try {
    const hash = git(root, 'rev-parse', 'HEAD').trim();
    return git(root, 'status', '--porcelain') === '' ? hash : `${hash}-dirty`;
  } catch {
    return 'unknown';
  }
}

/**
 * The time, in seconds, that everything in a release bears: SOURCE_DATE_EPOCH, else that of the
 * commit.
 */
export function sourceDate(root: string): number {
  const { SOURCE_DATE_EPOCH: given } = process.env;
  if (given !== undefined && given !== '') {
    if (!/^\d+$/.test(given))
      throw new Error(`SOURCE_DATE_EPOCH: expected seconds, got '${given}'`);
    return Number(given);
  }
  try {
    return Number(git(root, 'log', '-1', '--format=%ct').trim());
  } catch {
    return 0;
  }
}

function git(root: string, ...args: string[]): string {
  return execFileSync('git', args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}
