import type { FileOwner, FoundFile } from './files.ts';
import type { Journal, JournalFile } from './journal.ts';
import { type FoundDirectory, HOSTS_TOML, type Obstacle, type Tree } from './read-tree.ts';

/** A registry's directory as it would be without us: the administrator's state of it. */
export interface AdministratorsDirectory {
  readonly name: string;
  readonly registry: string;
  /** Whether there would be a directory. */
  readonly exists: boolean;
  readonly file: FoundFile | undefined;
  readonly certificates: FoundDirectory['certificates'];
  readonly displaced: FoundFile | undefined;
  /** True where we made the file, and the administrator wrote into it. */
  readonly isOurs: boolean;
  /** True where we made the directory, and nothing else came into it. */
  readonly isOurDirectory: boolean;
}

/** The desired state of a registry's directory. */
export interface DesiredDirectory {
  readonly exists: boolean;
  readonly file: DesiredFile | undefined;
  /** What the journal is to say of the file; undefined when nothing in it is ours. */
  readonly entry: JournalFile | undefined;
  /** Why containerd may not read the file, although it is as desired. */
  readonly warnings?: readonly string[];
}

export interface DesiredFile {
  readonly text: string;
  readonly mode: number;
  /** Undefined: the user of this process. */
  readonly owner: FileOwner | undefined;
}

/** The change of one directory of certs.d. */
export interface DirectoryChange {
  readonly name: string;
  /** Path of the hosts.toml, relative to certs.d. */
  readonly path: string;
  readonly current: FoundDirectory | undefined;
  readonly administrators: AdministratorsDirectory;
  readonly desired: DesiredDirectory;
}

/** A path that is not as desired, and why. */
export interface Problem {
  readonly path: string;
  readonly message: string;
  /** True: it would be as desired if containerd 2 alone read the file. */
  readonly dependsOnVersion?: true;
}

export interface Plan {
  readonly changes: readonly DirectoryChange[];
  /** The journal after all changes. */
  readonly journal: Journal;
  /** Files that stay as they are. */
  readonly problems: readonly Problem[];
  /** Files that are changed, and why containerd may not read them all the same. */
  readonly warnings: readonly Problem[];
}

export interface CurrentState {
  /** Absolute path of certs.d. */
  readonly root: string;
  /** Whether certs.d exists. */
  readonly exists: boolean;
  /** dockerd reads certs.d too, and its own settings would not count beside a `_default`. */
  readonly isReadByDocker: boolean;
  readonly tree: Tree;
  readonly journal: Journal;
  /** Copies of the administrator's files in the work directory, by path. */
  readonly kept: ReadonlyMap<string, FoundFile>;
}

/**
 * Every directory by name, as it would be without us, or the obstacle that keeps us from telling.
 */
export type AdministratorsState = ReadonlyMap<string, AdministratorsDirectory | Obstacle>;

/** Where the file that was set aside goes when its place is taken, beside the hosts.toml. */
export const DISPLACED_NAME = `${HOSTS_TOML}.before-spegel`;
