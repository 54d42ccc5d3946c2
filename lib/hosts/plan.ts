import { join } from 'node:path';
import { hasStuckDefault } from './administrators-state.ts';
import { WouldActivate } from './ignored-keys.ts';
import { LeftAlone } from './toml/left-alone.ts';
import {
  type AdministratorsDirectory,
  type AdministratorsState,
  type CurrentState,
  type DesiredDirectory,
  DISPLACED_NAME,
  type DirectoryChange,
  type Plan,
  type Problem,
} from './transaction/change.ts';
import type { JournalFile } from './transaction/journal.ts';
import { HOSTS_TOML } from './transaction/read-tree.ts';

/** The desired state of the directories of one certs.d. */
export interface DesiredState {
  /**
   * The desired state of one directory, given the administrator's. Undefined: without us. May throw
   * LeftAlone.
   */
  desiredDirectory(directory: AdministratorsDirectory): DesiredDirectory | undefined;
  /** Whether an obstacle in a directory of this name keeps the desired state from being reached. */
  isConcerned(name: string): boolean;
}

/**
 * The changes from the current state to the desired one. A directory that cannot be as desired is
 * to be as it would be without us. A directory where our text and the administrator's cannot be
 * told apart stays as it is. Both are reported as problems. `hostsPaths` goes into the journal.
 */
export function planChanges(
  current: CurrentState,
  administrators: AdministratorsState,
  desiredState: DesiredState,
  hostsPaths: readonly string[],
): Plan {
  const changes: DirectoryChange[] = [];
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const files: Record<string, JournalFile> = {};
  const directories: string[] = [];
  const { journal, root, tree } = current;
  for (const [name, directory] of administrators) {
    const path = join(name, HOSTS_TOML);
    const report = (message: string, error?: unknown) => {
      const depends = error instanceof WouldActivate ? ({ dependsOnVersion: true } as const) : {};
      const isOddEntry = 'message' in directory && directory.isOddEntry === true;
      problems.push({ path: join(root, isOddEntry ? name : path), message, ...depends });
    };
    if ('message' in directory) {
      const entry = journal.files[path];
      if (directory.mayBeOurs || entry !== undefined || desiredState.isConcerned(name))
        report(directory.message);
      if (entry !== undefined) files[path] = entry;
      if (journal.directories.includes(name)) directories.push(name);
      continue;
    }
    const desired = desiredOf(current, administrators, directory, desiredState, report);
    const there = tree.directories.get(name);
    const change = { name, path, current: there, administrators: directory, desired };
    if (isDifferent(change)) {
      changes.push(change);
      const notes = desired.warnings ?? [];
      warnings.push(...notes.map((message) => ({ path: join(root, path), message })));
    }
    if (desired.entry !== undefined) files[path] = desired.entry;
    const isMadeByUs = there === undefined || journal.directories.includes(name);
    const isUsed = desired.entry !== undefined || (desired.exists && !directory.exists);
    if (isMadeByUs && isUsed) directories.push(name);
  }
  directories.sort();
  const others = current.exists || changes.length > 0 ? hostsPaths : [];
  const next = { files, directories, roots: journal.roots, hostsPaths: others };
  return { changes, journal: next, problems, warnings };
}

function desiredOf(
  { tree, journal }: CurrentState,
  administrators: AdministratorsState,
  directory: AdministratorsDirectory,
  desiredState: DesiredState,
  onProblem: (message: string, error?: unknown) => void,
): DesiredDirectory {
  const { exists, file } = directory;
  const withoutUs = { exists, file, entry: undefined };
  if (directory.displaced !== undefined) onProblem(DISPLACED);
  try {
    return desiredState.desiredDirectory(directory) ?? withoutUs;
  } catch (error) {
    if (!(error instanceof LeftAlone)) throw error;
    onProblem(error.message, error);
    const there = tree.directories.get(directory.name);
    const entry = journal.files[join(directory.name, HOSTS_TOML)];
    // A stuck `_default` hides what our directory says, so the directory stays.
    const isWhole = there !== undefined && (there.file === undefined || entry !== undefined);
    if (hasStuckDefault(administrators) && directory.isOurDirectory && isWhole) {
      return { exists: true, file: there.file, entry };
    }
    return withoutUs;
  }
}

const DISPLACED = `somebody wrote into it while what it held before was set aside; that is in ${DISPLACED_NAME} beside it now: bring the two together`;

function isDifferent({ current, desired, administrators }: DirectoryChange): boolean {
  const { file } = desired;
  const now = current?.file;
  return (
    (current !== undefined) !== desired.exists ||
    administrators.displaced !== undefined ||
    now?.text !== file?.text ||
    now?.mode !== file?.mode
  );
}
