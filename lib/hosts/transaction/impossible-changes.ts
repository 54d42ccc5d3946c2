import { constants } from 'node:fs';
import { join } from 'node:path';
import { codeOf } from '../../base/errors.ts';
import type { Plan } from './change.ts';
import { ChangeRefused } from './change-refused.ts';
import type { Disk } from './disk.ts';
import { explained } from './disk-errors.ts';
import { mountPoints } from './mount-points.ts';

/**
 * Throws ChangeRefused for a change below certs.d that could not be made, as far as that can be
 * seen before: otherwise a check would want for ever what no run can do.
 */
export function refuseImpossibleChanges(root: string, { changes }: Plan, disk: Disk): void {
  if (changes.length === 0) return;
  const mounted = mountPoints(disk);
  for (const { found, name, path } of changes) {
    if (found === undefined) continue;
    const directory = join(root, name);
    refuse(name, directory, mounted.has(directory) ? { code: 'EXDEV' } : frozen(directory, disk));
    if (found.file === undefined) continue;
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
