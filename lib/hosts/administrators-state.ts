import { dirname, join } from 'node:path';
import { sumOf } from './toml/block.ts';
import { withoutBlocks } from './toml/edit.ts';
import { LeftAlone } from './toml/left-alone.ts';
import { DEFAULT_DIRECTORY, registryOfDirectory } from './toml/registry-name.ts';
import { meaningOf } from './toml/semantics.ts';
import type {
  AdministratorsDirectory,
  AdministratorsState,
  CurrentState,
} from './transaction/change.ts';
import type { FoundFile } from './transaction/files.ts';
import type { JournalFile } from './transaction/journal.ts';
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

/** A hosts.toml as it would be without us. */
interface AdministratorsFile {
  /** Undefined: there would be none. */
  readonly file: FoundFile | undefined;
  /** What we set aside and cannot put back, since somebody wrote into the file that replaced it. */
  readonly displaced: FoundFile | undefined;
  /** True where we made the file, and the administrator's text in it stands beside our block. */
  readonly isOurs: boolean;
}

/**
 * The administrator's part of a hosts.toml: its text without our block, and the mode that the file
 * had without us. `kept` is the copy of the administrator's file in the work directory. Throws
 * LeftAlone where our text and the administrator's cannot be told apart.
 */
function administratorsFile(
  found: FoundFile | undefined,
  entry: JournalFile | undefined,
  kept: FoundFile | undefined,
): AdministratorsFile {
  const isSetAside = kept !== undefined && entry?.setAside === sumOf(kept.text);
  const original = isSetAside ? kept : undefined;
  if (found === undefined) return { file: original, displaced: undefined, isOurs: false };
  const text = withoutBlocks(found.text, entry?.body);
  const hasBlock = text !== found.text;
  const wasMade = entry?.hadMode === undefined;
  if (hasBlock && text === '' && (wasMade || isSetAside))
    return { file: original, displaced: undefined, isOurs: false };
  if (!hasBlock && entry !== undefined) checkUnmarked(found.text, entry.mirrors);
  // A file without our block was put there by somebody else, and its mode with it.
  const isOurMode = hasBlock && entry?.modes.includes(found.mode);
  const mode = (isOurMode ? entry?.hadMode : undefined) ?? found.mode;
  // A killed run may leave the copy and the unchanged file: then the file is still the
  // administrator's.
  const displaced = original?.text === text ? undefined : original;
  const isOurs = hasBlock && entry !== undefined && wasMade;
  return { file: { ...found, text, mode }, displaced, isOurs };
}

/** Throws LeftAlone when our lines are still there and only the marks around them are gone. */
function checkUnmarked(text: string, mirrors: readonly string[]): void {
  const own = mirrors.find((url) => isHost(url, text));
  if (own === undefined) return;
  throw new LeftAlone(
    `the marks of our block are gone, but [host."${own}"] is still there; take that out by hand`,
  );
}

function isHost(url: string, text: string): boolean {
  try {
    return meaningOf(text).order.includes(url);
  } catch {
    // Without TOML the meaning is unknown: half of our block may be what broke it.
    return text.includes(url);
  }
}
