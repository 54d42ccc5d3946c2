import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { codeOf } from '../../base/errors.ts';
import type { Disk } from './disk.ts';

/**
 * The directory in which we keep the journal, temporary files and what we keep of the administrator's:
 * `.spegel` in certs.d itself, so that a rename from it is atomic. While certs.d does not exist, before we
 * make it and after we removed it, it lies in the closest directory above.
 */
const NAME = '.spegel';

/** Its path, where there is one: the rest of a run that was killed can be in a directory above. */
export function findHidden(root: string, disk: Disk): string | undefined {
  const inside = join(root, NAME);
  if (isDirectory(inside, disk)) return inside;
  return ancestorsOf(root)
    .map((ancestor) => outside(ancestor, root))
    .find((path) => isDirectory(path, disk));
}

/** Makes it, mode 0700: it may hold credentials. In certs.d, or above it while that does not exist. */
export function makeHidden(root: string, disk: Disk): string {
  const existing = ancestorsOf(root).find((ancestor) => isDirectory(ancestor, disk)) ?? '/';
  const path = isDirectory(root, disk) ? join(root, NAME) : outside(existing, root);
  disk.mkdirSync(path, { mode: 0o700 });
  syncDirectory(dirname(path), disk);
  return path;
}

/** The directories that have to be made so that certs.d exists, the outermost first. */
export function missingDirectories(root: string, disk: Disk): string[] {
  return [root, ...ancestorsOf(root)].filter((path) => !isDirectory(path, disk)).reverse();
}

/** Moves it into certs.d, which exists now. */
export function moveInside(hidden: string, root: string, disk: Disk): string {
  const inside = join(root, NAME);
  if (hidden !== inside) {
    disk.renameSync(hidden, inside);
    syncDirectory(root, disk);
  }
  return inside;
}

/** Moves it out of certs.d and above `outermost`, the outermost directory that is to be removed. */
export function moveOutside(hidden: string, root: string, outermost: string, disk: Disk): string {
  const path = outside(dirname(outermost), root);
  if (hidden !== path) {
    disk.renameSync(hidden, path);
    syncDirectory(dirname(outermost), disk);
  }
  return path;
}

/** Its name outside of certs.d says whose it is: several of these directories can be below one. */
function outside(ancestor: string, root: string): string {
  const sum = createHash('sha256').update(root).digest('hex').slice(0, 12);
  return join(ancestor, `${NAME}-${basename(root)}-${sum}`);
}

function ancestorsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [parent, ...ancestorsOf(parent)];
}

/** True for a directory itself, not for a link to one. */
export function isDirectory(path: string, disk: Disk): boolean {
  return disk.lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Makes renames and removals in a directory last through a power cut. */
export function syncDirectory(path: string, disk: Disk): void {
  const descriptor = disk.openSync(path, 'r');
  try {
    disk.fsyncSync(descriptor);
  } finally {
    disk.closeSync(descriptor);
  }
}

/** Makes a directory with this mode, whatever the umask: others may read certs.d than root alone. */
export function makeDirectory(path: string, mode: number, disk: Disk): void {
  disk.mkdirSync(path, { mode });
  const descriptor = disk.openSync(path, 'r');
  try {
    disk.fchmodSync(descriptor, mode);
  } finally {
    disk.closeSync(descriptor);
  }
}

/** Removes a directory if it is empty; false when it holds something, or is gone. */
export function removeIfEmpty(path: string, disk: Disk): boolean {
  try {
    disk.rmdirSync(path);
    return true;
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(codeOf(error) ?? '')) return false;
    throw error;
  }
}
