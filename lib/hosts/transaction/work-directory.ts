import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { Disk } from './disk.ts';
import { isDirectory, syncDirectory } from './files.ts';

/**
 * The directory in which we keep the journal, temporary files and what we keep of the administrator's:
 * `.spegel` in certs.d itself, so that a rename from it is atomic. While certs.d does not exist, before we
 * make it and after we removed it, it lies in the closest directory above.
 */
const NAME = '.spegel';

/** Its path, where there is one: the rest of a run that was killed can be in a directory above. */
export function findWorkDirectory(root: string, disk: Disk): string | undefined {
  const inside = join(root, NAME);
  if (isDirectory(inside, disk)) return inside;
  return ancestorsOf(root)
    .map((ancestor) => outside(ancestor, root))
    .find((path) => isDirectory(path, disk));
}

/** Makes it, mode 0700: it may hold credentials. In certs.d, or above it while that does not exist. */
export function makeWorkDirectory(root: string, disk: Disk): string {
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
