import { dirname, join } from 'node:path';
import { type AdministratorsFile, administratorsFile } from './administrators-file.ts';
import { WouldActivate } from './ignored-keys.ts';
import { DEFAULT_DIRECTORY, registryOfDirectory } from './toml/registry-name.ts';
import { LeftAlone } from './toml/semantics.ts';
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
import {
  type FoundDirectory,
  HOSTS_TOML,
  type Obstacle,
  obstacleOf,
} from './transaction/read-tree.ts';

/** Whether there is a `_default` of ours that we can neither change nor remove. */
export function hasStuckDefault(administrators: AdministratorsState): boolean {
  const directory = administrators.get(DEFAULT_DIRECTORY);
  return (
    directory !== undefined &&
    'message' in directory &&
    directory.isMadeByUs === true &&
    !directory.isAbsent
  );
}

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

/**
 * Every directory of certs.d as it would be without us, or the obstacle that keeps us from telling.
 */
export function administratorsState({
  tree,
  journal,
  kept,
}: CurrentState): Map<string, AdministratorsDirectory | Obstacle> {
  const administrators = new Map<string, AdministratorsDirectory | Obstacle>(tree.obstacles);
  for (const [name, target] of tree.links) {
    administrators.set(name, {
      message: `it is a link to ${target}, which is not mirrored`,
      mayBeOurs: false,
    });
  }
  // Also directories that somebody removed: what we set aside from them goes back.
  const changed = Object.keys(journal.files).map((path) => dirname(path));
  for (const name of new Set([...tree.directories.keys(), ...changed])) {
    if (administrators.has(name)) continue;
    const path = join(name, HOSTS_TOML);
    const directory = tree.directories.get(name);
    try {
      const own = administratorsFile(directory?.file, journal.files[path], kept.get(path));
      administrators.set(name, viewOf(name, directory, own, journal.directories.includes(name)));
    } catch (error) {
      const entry = journal.files[path];
      const isMadeByUs = journal.directories.includes(name) && entry?.hadMode === undefined;
      administrators.set(name, { ...obstacleOf(error), mayBeOurs: true, isMadeByUs });
    }
  }
  return administrators;
}

/** Marks directories as obstacles after their change was refused. */
export function refuseChanges(
  administrators: Map<string, AdministratorsDirectory | Obstacle>,
  { tree }: CurrentState,
  refused: ReadonlyMap<string, Obstacle>,
): void {
  for (const [name, obstacle] of refused) {
    const directory = administrators.get(name);
    const isMadeByUs =
      directory === undefined ||
      ('message' in directory ? directory.isMadeByUs === true : !directory.exists);
    administrators.set(name, { ...obstacle, isMadeByUs, isAbsent: !tree.directories.has(name) });
  }
}

function viewOf(
  name: string,
  directory: FoundDirectory | undefined,
  own: AdministratorsFile,
  wasMade: boolean,
): AdministratorsDirectory {
  const isOurDirectory = directory === undefined || (wasMade && directory.isBare);
  const exists = !isOurDirectory || own.file !== undefined;
  return { ...absentDirectory(name), ...directory, exists, ...own, isOurDirectory };
}

/** A directory that does not exist. */
export function absentDirectory(name: string): AdministratorsDirectory {
  const registry = registryOfDirectory(name) ?? name;
  return {
    name,
    registry,
    exists: false,
    file: undefined,
    certificates: {},
    displaced: undefined,
    isOurs: false,
    isOurDirectory: true,
  };
}
