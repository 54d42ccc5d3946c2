import { dirname, join } from 'node:path';
import { type AdministratorsFile, administratorsFile } from './administrators-file.ts';
import type { FileOwner } from './file.ts';
import type { Journal, JournalFile } from './journal.ts';
import { LeftAlone } from './meaning.ts';
import {
  FILE_NAME,
  type FoundDirectory,
  type FoundFile,
  type Obstacle,
  obstacleOf,
  type Tree,
} from './read-tree.ts';
import { registryOfDirectory } from './registry-host.ts';

/** A registry's directory without us. */
export interface View {
  readonly name: string;
  readonly registry: string;
  /** Whether there would be one. */
  readonly exists: boolean;
  readonly file: FoundFile | undefined;
  readonly certificates: FoundDirectory['certificates'];
  readonly displaced: FoundFile | undefined;
}

/** A registry's directory as it is to be. */
export interface Wanted {
  readonly exists: boolean;
  readonly file: WantedFile | undefined;
  /** What the journal says of the file; undefined when nothing in it is ours. */
  readonly entry: JournalFile | undefined;
}

export interface WantedFile {
  readonly text: string;
  readonly mode: number;
  /** Undefined: whoever runs this. */
  readonly owner: FileOwner | undefined;
}

/** What is to be done in one directory of certs.d. */
export interface Change {
  readonly name: string;
  /** Of the hosts.toml, relative to certs.d. */
  readonly path: string;
  readonly found: FoundDirectory | undefined;
  readonly view: View;
  readonly wanted: Wanted;
}

/** A path that is not as it should be, and why. */
export interface Problem {
  readonly path: string;
  readonly message: string;
}

export interface Plan {
  readonly changes: readonly Change[];
  /** As it is to be when all changes are made. */
  readonly journal: Journal;
  readonly problems: readonly Problem[];
}

export interface State {
  /** Absolute path of certs.d. */
  readonly root: string;
  readonly tree: Tree;
  readonly journal: Journal;
  /** What is kept of the administrator's files, by path. */
  readonly kept: ReadonlyMap<string, FoundFile>;
}

/** Every directory by name. */
export type Views = ReadonlyMap<string, View | Obstacle>;

/** How the directories are to be. */
export interface Wishes {
  /** How one is to be, of what it would be without us; undefined: as that. May throw LeftAlone. */
  wish(view: View): Wanted | undefined;
  /** Whether an obstacle in a directory of this name is in our way. */
  isConcerned(name: string): boolean;
}

/**
 * What is to be done so that every directory is as wished. A directory where ours and the administrator's
 * cannot be told apart, or where the wish cannot be fulfilled, stays as it is and is named.
 */
export function planChanges(state: State, views: Views, wishes: Wishes): Plan {
  const changes: Change[] = [];
  const problems: Problem[] = [];
  const files: Record<string, JournalFile> = {};
  const directories: string[] = [];
  const { journal, root } = state;
  const leave = (name: string, { message, mayBeOurs }: Obstacle) => {
    const path = join(name, FILE_NAME);
    const entry = journal.files[path];
    if (mayBeOurs || entry !== undefined || wishes.isConcerned(name)) {
      problems.push({ path: join(root, path), message });
    }
    if (entry !== undefined) files[path] = entry;
    if (journal.directories.includes(name)) directories.push(name);
  };
  for (const [name, view] of views) {
    try {
      if ('message' in view) {
        leave(name, view);
        continue;
      }
      const change = changeOf(view, state.tree, wishes);
      if (isDifferent(change)) changes.push(change);
      const { path, wanted } = change;
      if (wanted.entry !== undefined) files[path] = wanted.entry;
      if (wanted.exists && !view.exists) directories.push(name);
      if (view.displaced !== undefined) problems.push(explainDisplaced(join(root, path)));
    } catch (error) {
      if (!(error instanceof LeftAlone)) throw error;
      leave(name, { message: error.message, mayBeOurs: true });
    }
  }
  return { changes, journal: { files, directories, roots: journal.roots }, problems };
}

function changeOf(view: View, tree: Tree, wishes: Wishes): Change {
  const { name, exists, file } = view;
  const wanted = wishes.wish(view) ?? { exists, file, entry: undefined };
  return { name, path: join(name, FILE_NAME), found: tree.directories.get(name), view, wanted };
}

/** Where what was set aside goes when its place is taken, beside the hosts.toml. */
export const DISPLACED_NAME = `${FILE_NAME}.before-spegel`;

function explainDisplaced(path: string): Problem {
  return {
    path,
    message: `somebody wrote into it while what it held before was set aside; that is in ${DISPLACED_NAME} beside it now: bring the two together`,
  };
}

function isDifferent({ found, wanted, view }: Change): boolean {
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
export function administratorsViews({ tree, journal, kept }: State): Map<string, View | Obstacle> {
  const views = new Map<string, View | Obstacle>(tree.obstacles);
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
    const path = join(name, FILE_NAME);
    const directory = tree.directories.get(name);
    try {
      const own = administratorsFile(directory?.file, journal.files[path], kept.get(path));
      views.set(name, viewOf(name, directory, own, journal.directories.includes(name)));
    } catch (error) {
      views.set(name, { ...obstacleOf(error), mayBeOurs: true });
    }
  }
  return views;
}

function viewOf(
  name: string,
  directory: FoundDirectory | undefined,
  own: AdministratorsFile,
  wasMade: boolean,
): View {
  const isOurs = directory === undefined || (wasMade && directory.isBare);
  return { ...newView(name), ...directory, exists: !isOurs || own.file !== undefined, ...own };
}

/** A directory that there is not. */
export function newView(name: string): View {
  const registry = registryOfDirectory(name) ?? name;
  return { name, registry, exists: false, file: undefined, certificates: {}, displaced: undefined };
}
