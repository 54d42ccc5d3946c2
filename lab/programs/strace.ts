/** What a program does with files, as strace sees it. */
import { access, mkdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { CommandError } from '../processes/exec.ts';
import { withLock } from '../processes/lock.ts';
import { machinesApt, unpack } from './apt.ts';
import { LAB_DIR } from './programs.ts';

const SYSTEM = '/usr/bin/strace';
/** What opens a file, or changes a directory. A look at a name (stat) is not among them. */
const CALLS =
  '?open,openat,?openat2,?creat,?mkdir,mkdirat,?rename,renameat,renameat2,?link,linkat,?unlink,unlinkat,?rmdir,?symlink,symlinkat,?truncate,?chmod,fchmodat,?chown,?lchown,fchownat,execve';

export interface FileUse {
  /** Absolute, without links followed. */
  readonly path: string;
  readonly writes: boolean;
}

/**
 * The program: the machine's own, or unpacked beside the others of the lab; or why there is none.
 */
export async function provisionStrace(): Promise<string | { readonly missing: string }> {
  const dir = join(LAB_DIR, 'strace');
  const unpacked = join(dir, 'root', SYSTEM);
  const firstOf = async () => (await isThere(SYSTEM)) ?? (await isThere(unpacked));
  try {
    await mkdir(dir, { recursive: true });
    const fetched = async () => {
      const apt = await machinesApt(dir);
      await apt.call('update');
      const words = ['install', '--download-only', '--no-install-recommends', '--yes', 'strace'];
      await unpack(apt, join(dir, 'root'), ...words);
      await rm(join(dir, 'apt-machine'), { recursive: true, force: true });
    };
    return await withLock(join(dir, 'lock'), async () => {
      if ((await firstOf()) === undefined) await fetched();
      return (await firstOf()) ?? { missing: 'no strace came with its package' };
    });
  } catch (error) {
    const said = error instanceof CommandError ? error.stderr : String(error);
    return { missing: `no strace: ${said.trim().split('\n').at(-1)}` };
  }
}

async function isThere(path: string): Promise<string | undefined> {
  return access(path).then(
    () => path,
    () => undefined,
  );
}

/** argv before a program's own: its use of files, and that of its children, goes to `log`. */
export function traced(strace: string, log: string): string[] {
  const flags = ['--follow-forks', '--seccomp-bpf', '--decode-fds=path', '--string-limit=4096'];
  return [strace, ...flags, '--trace', CALLS, '--output', log];
}

/** Every use of a file in a log of `traced`, refused ones too. Throws for a relative name. */
export async function usesIn(log: string): Promise<FileUse[]> {
  const text = await readFile(log, 'utf8');
  return text.split('\n').flatMap(usesOf);
}

/** `12 openat(AT_FDCWD</>, "/etc/hosts", O_RDONLY) = 3`, or the beginning of it. */
function usesOf(line: string): FileUse[] {
  const [, call, args = ''] = /^\d+ +(\w+)\((.*)$/.exec(line) ?? [];
  if (call === undefined) return [];
  const isOpen = call.startsWith('open') || call === 'creat';
  const writes = isOpen
    ? call === 'creat' || /\bO_(?:WRONLY|RDWR|CREAT|TRUNC)\b/.test(args)
    : call !== 'execve';
  const names = [
    ...args.matchAll(/(?:(?:AT_FDCWD|\d+)<((?:[^>\\]|\\.)*)>, )?"((?:[^"\\]|\\.)*)"/g),
  ];
  // Of execve only the program: its words follow.
  return (call === 'execve' ? names.slice(0, 1) : names).map(([, from, name = '']) => {
    if (from === undefined && !name.startsWith('/'))
      throw new Error(`a name without a place: ${line}`);
    return { path: resolve(from ?? '/', name), writes };
  });
}
