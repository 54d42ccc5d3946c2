import type { FileOwner } from './files.ts';
import type { Journal, JournalFile } from './journal.ts';
import {
  type FoundDirectory,
  type FoundFile,
  HOSTS_TOML,
  type Obstacle,
  type Tree,
} from './read-tree.ts';

/** A registry's directory without us. */
export interface AdministratorsDirectory {
  readonly name: string;
  readonly registry: string;
  /** Whether there would be one. */
  readonly exists: boolean;
  readonly file: FoundFile | undefined;
  readonly certificates: FoundDirectory['certificates'];
  readonly displaced: FoundFile | undefined;
  /** True where we made the file, and the administrator wrote into it. */
  readonly isOurs: boolean;
  /** True where we made the directory, and nothing else came into it. */
  readonly isOurDirectory: boolean;
}

/** A registry's directory as it is to be. */
export interface DesiredDirectory {
  readonly exists: boolean;
  readonly file: DesiredFile | undefined;
  /** What the journal says of the file; undefined when nothing in it is ours. */
  readonly entry: JournalFile | undefined;
  /** What the administrator should know of the file, though it is done. */
  readonly warnings?: readonly string[];
}

export interface DesiredFile {
  readonly text: string;
  readonly mode: number;
  /** Undefined: whoever runs this. */
  readonly owner: FileOwner | undefined;
}

/** What is to be done in one directory of certs.d. */
export interface DirectoryChange {
  readonly name: string;
  /** Of the hosts.toml, relative to certs.d. */
  readonly path: string;
  readonly found: FoundDirectory | undefined;
  readonly view: AdministratorsDirectory;
  readonly wanted: DesiredDirectory;
}

/** A path that is not as it should be, and why. */
export interface Problem {
  readonly path: string;
  readonly message: string;
  /** True: not with containerd 2 alone. */
  readonly dependsOnVersion?: true;
}

export interface Plan {
  readonly changes: readonly DirectoryChange[];
  /** As it is to be when all changes are made. */
  readonly journal: Journal;
  /** What was left as it is. */
  readonly problems: readonly Problem[];
  /** What was done, and may not bring what was hoped for. */
  readonly warnings: readonly Problem[];
}

export interface CurrentState {
  /** Absolute path of certs.d. */
  readonly root: string;
  /** Whether it is there. */
  readonly exists: boolean;
  /** dockerd looks into it, too, and its own settings would not count beside a `_default`. */
  readonly isReadByDocker: boolean;
  readonly tree: Tree;
  readonly journal: Journal;
  /** What is kept of the administrator's files, by path. */
  readonly kept: ReadonlyMap<string, FoundFile>;
}

/** Every directory by name. */
export type AdministratorsState = ReadonlyMap<string, AdministratorsDirectory | Obstacle>;

/** Where what was set aside goes when its place is taken, beside the hosts.toml. */
export const DISPLACED_NAME = `${HOSTS_TOML}.before-spegel`;
