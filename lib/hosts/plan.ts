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

/** A `_default` of ours that we can neither change nor take away. */
export function hasStuckDefault(views: AdministratorsState): boolean {
  const view = views.get(DEFAULT_DIRECTORY);
  return view !== undefined && 'message' in view && view.isMade === true && !view.isAbsent;
}

/** How the directories are to be. */
export interface DesiredState {
  /** How one is to be, of what it would be without us; undefined: as that. May throw LeftAlone. */
  wish(view: AdministratorsDirectory): DesiredDirectory | undefined;
  /** Whether an obstacle in a directory of this name is in our way. */
  isConcerned(name: string): boolean;
}

/**
 * What is to be done so that every directory is as wished. One whose wish cannot be fulfilled is to be as it
 * would be without us; one where ours and the administrator's cannot be told apart stays. Both are named.
 * `hostsPaths` goes into the journal.
 */
export function planChanges(
  state: CurrentState,
  views: AdministratorsState,
  wishes: DesiredState,
  hostsPaths: readonly string[],
): Plan {
  const changes: DirectoryChange[] = [];
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const files: Record<string, JournalFile> = {};
  const directories: string[] = [];
  const { journal, root, tree } = state;
  for (const [name, view] of views) {
    const path = join(name, HOSTS_TOML);
    const report = (message: string, error?: unknown) => {
      const depends = error instanceof WouldActivate ? ({ dependsOnVersion: true } as const) : {};
      const isEntry = 'message' in view && view.isEntry === true;
      problems.push({ path: join(root, isEntry ? name : path), message, ...depends });
    };
    if ('message' in view) {
      const entry = journal.files[path];
      if (view.mayBeOurs || entry !== undefined || wishes.isConcerned(name)) report(view.message);
      if (entry !== undefined) files[path] = entry;
      if (journal.directories.includes(name)) directories.push(name);
      continue;
    }
    const wanted = wantedOf(state, views, view, wishes, report);
    const change = { name, path, found: tree.directories.get(name), view, wanted };
    if (isDifferent(change)) {
      changes.push(change);
      const notes = wanted.warnings ?? [];
      warnings.push(...notes.map((message) => ({ path: join(root, path), message })));
    }
    if (wanted.entry !== undefined) files[path] = wanted.entry;
    const isMade = change.found === undefined || journal.directories.includes(name);
    const isUsed = wanted.entry !== undefined || (wanted.exists && !view.exists);
    if (isMade && isUsed) directories.push(name);
  }
  directories.sort();
  const others = state.exists || changes.length > 0 ? hostsPaths : [];
  const next = { files, directories, roots: journal.roots, hostsPaths: others };
  return { changes, journal: next, problems, warnings };
}

function wantedOf(
  { tree, journal }: CurrentState,
  views: AdministratorsState,
  view: AdministratorsDirectory,
  wishes: DesiredState,
  onProblem: (message: string, error?: unknown) => void,
): DesiredDirectory {
  const { exists, file } = view;
  const withoutUs = { exists, file, entry: undefined };
  if (view.displaced !== undefined) onProblem(DISPLACED);
  try {
    return wishes.wish(view) ?? withoutUs;
  } catch (error) {
    if (!(error instanceof LeftAlone)) throw error;
    onProblem(error.message, error);
    const there = tree.directories.get(view.name);
    const entry = journal.files[join(view.name, HOSTS_TOML)];
    // What it would hide is to be found as long as it is there.
    const isWhole = there !== undefined && (there.file === undefined || entry !== undefined);
    if (hasStuckDefault(views) && view.isOurDirectory && isWhole) {
      return { exists: true, file: there.file, entry };
    }
    return withoutUs;
  }
}

const DISPLACED = `somebody wrote into it while what it held before was set aside; that is in ${DISPLACED_NAME} beside it now: bring the two together`;

function isDifferent({ found, wanted, view }: DirectoryChange): boolean {
  const { file } = wanted;
  const now = found?.file;
  return (
    (found !== undefined) !== wanted.exists ||
    view.displaced !== undefined ||
    now?.text !== file?.text ||
    now?.mode !== file?.mode
  );
}

/** Every directory of certs.d as it would be without us, or what keeps us from saying. */
export function administratorsState({
  tree,
  journal,
  kept,
}: CurrentState): Map<string, AdministratorsDirectory | Obstacle> {
  const views = new Map<string, AdministratorsDirectory | Obstacle>(tree.obstacles);
  for (const [name, target] of tree.links) {
    views.set(name, {
      message: `it is a link to ${target}, which is not mirrored`,
      mayBeOurs: false,
    });
  }
  // Also directories that somebody removed: what we set aside of them goes back.
  const changed = Object.keys(journal.files).map((path) => dirname(path));
  for (const name of new Set([...tree.directories.keys(), ...changed])) {
    if (views.has(name)) continue;
    const path = join(name, HOSTS_TOML);
    const directory = tree.directories.get(name);
    try {
      const own = administratorsFile(directory?.file, journal.files[path], kept.get(path));
      views.set(name, viewOf(name, directory, own, journal.directories.includes(name)));
    } catch (error) {
      const entry = journal.files[path];
      const isMade = journal.directories.includes(name) && entry?.hadMode === undefined;
      views.set(name, { ...obstacleOf(error), mayBeOurs: true, isMade });
    }
  }
  return views;
}

/** Takes what cannot be changed for obstacles. */
export function refuseChanges(
  views: Map<string, AdministratorsDirectory | Obstacle>,
  { tree }: CurrentState,
  refused: ReadonlyMap<string, Obstacle>,
): void {
  for (const [name, obstacle] of refused) {
    const view = views.get(name);
    const isMade = view === undefined || ('message' in view ? view.isMade === true : !view.exists);
    views.set(name, { ...obstacle, isMade, isAbsent: !tree.directories.has(name) });
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

/** A directory that there is not. */
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
