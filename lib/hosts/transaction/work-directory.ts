import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { Disk } from './disk.ts';
import { isDirectory, syncDirectory } from './files.ts';

/**
 * The name of the work directory. It holds the journal, staged files and the administrator's files
 * that we keep. It lies in certs.d itself, so that a rename from it is atomic. While certs.d does
 * not exist, before we make it and after we removed it, it lies in the closest directory above.
 */
const NAME = '.spegel';

/**
 * The path of the work directory, where there is one. A killed run may have left it in a directory
 * above.
 */
export function findWorkDirectory(root: string, disk: Disk): string | undefined {
  const inside = join(root, NAME);
  if (isDirectory(inside, disk)) return inside;
  return ancestorsOf(root)
    .map((ancestor) => outside(ancestor, root))
    .find((path) => isDirectory(path, disk));
}

/**
 * Makes the work directory, mode 0700 since it may hold credentials: in certs.d, or above certs.d
 * while that does not exist.
 */
export function makeWorkDirectory(root: string, disk: Disk): string {
  const existing = ancestorsOf(root).find((ancestor) => isDirectory(ancestor, disk)) ?? '/';
  const path = isDirectory(root, disk) ? join(root, NAME) : outside(existing, root);
  disk.mkdirSync(path, { mode: 0o700 });
  syncDirectory(dirname(path), disk);
  return path;
}

/** The directories that are missing for certs.d to exist, the outermost first. */
export function missingDirectories(root: string, disk: Disk): string[] {
  return [root, ...ancestorsOf(root)].filter((path) => !isDirectory(path, disk)).reverse();
}

/** Moves the work directory into certs.d, which exists now. Returns its new path. */
export function moveInside(workDirectory: string, root: string, disk: Disk): string {
  const inside = join(root, NAME);
  if (workDirectory !== inside) {
    disk.renameSync(workDirectory, inside);
    syncDirectory(root, disk);
  }
  return inside;
}

/**
 * Moves the work directory out of certs.d and above `outermost`, the outermost directory that will
 * be removed. Returns its new path.
 */
export function moveOutside(
  workDirectory: string,
  root: string,
  outermost: string,
  disk: Disk,
): string {
  const path = outside(dirname(outermost), root);
  if (workDirectory !== path) {
    disk.renameSync(workDirectory, path);
    syncDirectory(dirname(outermost), disk);
  }
  return path;
}

/**
 * The name of the work directory outside of certs.d. The name tells the certs.d, since several work
 * directories can lie in one directory.
 */
function outside(ancestor: string, root: string): string {
  const sum = createHash('sha256').update(root).digest('hex').slice(0, 12);
  return join(ancestor, `${NAME}-${basename(root)}-${sum}`);
}

function ancestorsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [parent, ...ancestorsOf(parent)];
}
