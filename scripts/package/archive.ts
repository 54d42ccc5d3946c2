import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * 31 MB in a third of the time that level 6 takes for 28 MB; level 9 has 27 MB, and 0.7 GB of
 * memory. One thread: with more, the bytes would depend on the machine's cores.
 */
export const RELEASE_LEVEL = 2;

/**
 * Packs the directory `name` below `parent` into `file`, a .tar.xz with the same bytes wherever and
 * whenever it is made: names sorted, no owners, two modes, one time.
 */
export async function archive(
  parent: string,
  name: string,
  file: string,
  date: number,
  level: number = RELEASE_LEVEL,
): Promise<void> {
  const words = [
    '--format=ustar',
    '--sort=name',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--mode=u=rwX,go=rX',
    `--mtime=@${date}`,
    `--use-compress-program=xz -T1 -${level}`,
  ];
  // XZ_OPT and TAR_OPTIONS of the caller's shell would change the bytes.
  const env = { PATH: process.env.PATH, LC_ALL: 'C' };
  try {
    await run('tar', [...words, '-cf', `${file}.new`, '-C', parent, name], { env });
  } catch (error) {
    await rm(`${file}.new`, { force: true });
    throw new Error('expected GNU tar and xz (Debian: apt-get install xz-utils)', { cause: error });
  }
  await rename(`${file}.new`, file);
}

/** Lines as sha256sum writes and checks them. */
export async function sha256Sums(files: readonly string[]): Promise<string> {
  const lines = files.map(async (file) => {
    const hash = createHash('sha256');
    await pipeline(createReadStream(file), hash);
    return `${hash.digest('hex')}  ${basename(file)}\n`;
  });
  return (await Promise.all(lines)).join('');
}
