import { dirname, join } from 'node:path';
import { type AdministratorsFile, administratorsFile } from './administrators-file.ts';
import { DEFAULT_DIRECTORY, registryOfDirectory } from './toml/registry-name.ts';
import type {
  AdministratorsDirectory,
  AdministratorsState,
  CurrentState,
} from './transaction/change.ts';
import {
  type FoundDirectory,
  HOSTS_TOML,
  type Obstacle,
  obstacleOf,
} from './transaction/read-tree.ts';

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
      administrators.set(
        name,
        directoryOf(name, directory, own, journal.directories.includes(name)),
      );
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

function directoryOf(
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
