import { withOutcome } from '../hosts/transaction/disk-errors.ts';
import {
  applyInstallFile,
  type InstallFile,
  type InstallFileChange,
  removeDirectoryIfEmpty,
} from './system/files.ts';
import { OWN_DIRECTORIES } from './system/layout.ts';

/**
 * Makes these changes, in the order of the files. Throws SpegelError ERR_INSTALL when one fails:
 * the files that it added are removed again, so that no half of an installation is left, and the
 * message names the changes that stay.
 */
export function applyFiles(
  files: readonly InstallFile[],
  changes: readonly InstallFileChange[],
): void {
  const done: InstallFileChange[] = [];
  try {
    for (const file of files) {
      const change = changes.find(({ path }) => path === file.path);
      if (change === undefined) continue;
      applyInstallFile(file);
      done.push(change);
    }
  } catch (error) {
    throw withOutcome(error, outcomeText(undoAdded(done)));
  } finally {
    // The last drop-in in a directory may just have been removed.
    for (const path of OWN_DIRECTORIES) tryToRemoveDirectory(path);
  }
}

/** Removes the files that were added. Returns the changes that stay. */
function undoAdded(done: readonly InstallFileChange[]): readonly InstallFileChange[] {
  return done.filter(({ path, action }) => action !== 'add' || !tryToRemove(path));
}

/** False where the disk refuses. */
function tryToRemove(path: string): boolean {
  try {
    applyInstallFile({ path, mode: 0, content: undefined });
    return true;
  } catch {
    // It counts as a change that stays: the message names it.
    return false;
  }
}

function tryToRemoveDirectory(path: string): void {
  try {
    removeDirectoryIfEmpty(path);
  } catch {
    // An empty directory does no harm, and its error must not hide the first one.
  }
}

function outcomeText(left: readonly InstallFileChange[]): string {
  const stays = left.map(({ path, action }) => `${path} (${action === 'add' ? 'new' : action})`);
  return stays.length === 0
    ? 'all else is as it was'
    : `as the new release wants it already: ${stays.join(', ')}; all else is as it was`;
}
