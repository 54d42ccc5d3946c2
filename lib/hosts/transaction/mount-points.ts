import { dirname } from 'node:path';
import { codeOf } from '../../base/errors.ts';
import type { Disk } from './disk.ts';

interface Mount {
  /** The part of its file system that is mounted there. */
  readonly root: string;
  readonly point: string;
}

/** Absolute paths of the mount points that this process sees. Empty without /proc. */
export function mountPoints(disk: Disk): ReadonlySet<string> {
  return new Set(mounts(disk).map(({ point }) => point));
}

/**
 * Whether systemd shows this process something else at this absolute path (ProtectHome=,
 * InaccessiblePaths=, PrivateTmp=). What is missing there may be there for other processes.
 */
export function isHiddenByUnit(path: string, disk: Disk): boolean {
  const all = mounts(disk);
  for (let at = path; ; at = dirname(at)) {
    const mount = all.findLast(({ point }) => point === at);
    if (mount !== undefined)
      return /\/(?:systemd|host)\/inaccessible\/|\/systemd-private-/.test(mount.root);
    if (at === '/') return false;
  }
}

/** The lines of proc_pid_mountinfo(5). A later mount covers an earlier one of the same path. */
function mounts(disk: Disk): Mount[] {
  const lines = mountInfo(disk).split('\n');
  return lines.flatMap((line) => {
    const [root, point] = line.split(' ').slice(3, 5).map(unescaped);
    return root === undefined || point === undefined ? [] : [{ root, point }];
  });
}

function mountInfo(disk: Disk): string {
  try {
    return disk.readFileSync('/proc/self/mountinfo', 'utf8');
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return '';
  }
}

function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
