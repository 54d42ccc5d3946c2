import { constants } from 'node:fs';
import { join } from 'node:path';
import { codeOf } from '../../base/errors.ts';
import type { Plan } from './change.ts';
import { ChangeRefused } from './change-refused.ts';
import type { Disk } from './disk.ts';
import { explained } from './disk-errors.ts';
import { mountPoints } from './mount-points.ts';

/**
 * Throws ChangeRefused for a change below certs.d that is sure to fail. Without it a dry run would
 * show changes for ever that no run can make.
 */
export function refuseImpossibleChanges(root: string, { changes }: Plan, disk: Disk): void {
  if (changes.length === 0) return;
  const mounted = mountPoints(disk);
  for (const { current, name, path } of changes) {
    if (current === undefined) continue;
    const directory = join(root, name);
    refuse(name, directory, mounted.has(directory) ? { code: 'EXDEV' } : frozen(directory, disk));
    if (current.file === undefined) continue;
    const file = join(root, path);
    refuse(name, file, mounted.has(file) ? { code: 'EBUSY' } : frozen(file, disk));
  }
}

function refuse(name: string, path: string, reason: unknown): void {
  if (reason !== undefined) throw new ChangeRefused(name, path, explained(reason, path));
}

/** The error that an immutable file or directory (chattr +i) has for every change. */
function frozen(path: string, disk: Disk): unknown {
  try {
    disk.accessSync(path, constants.W_OK);
    return undefined;
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return codeOf(error) === 'EPERM' ? error : undefined;
  }
}
