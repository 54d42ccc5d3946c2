import { join } from 'node:path';
import { codeOf } from '../../base/errors.ts';
import { sumOf } from '../toml/block.ts';
import { LeftAlone } from '../toml/left-alone.ts';
import type { DesiredFile, DirectoryChange } from './change.ts';
import type { Disk } from './disk.ts';
import { type FoundFile, isDirectory, readFile, removeFile, writeNewFile } from './files.ts';
import { HOSTS_TOML } from './read-tree.ts';

/** The name in the work directory under which we keep the administrator's own file. */
export function keptName(path: string): string {
  return `kept-${sumOf(path)}`;
}

/** One change that can be undone until all are made. */
export interface Step {
  /** The path that it changes, for messages. */
  readonly target: string;
  /** The directory into which `stage` writes. It has to be on the disk before `commit`. */
  readonly stagedIn: string;
  /** The directory that `commit` changes. It has to be on the disk after it. */
  readonly changedIn: string;
  /** Prepares the change in the work directory; changes nothing outside of it. */
  stage(): void;
  /** Makes the change. Throws LeftAlone when somebody else changed the path meanwhile. */
  commit(): void;
  /**
   * Restores the state before `commit`, also when `commit` stopped in the middle. Throws LeftAlone
   * when somebody else changed the path since: that change stays.
   */
  undo(): void;
  /** The rest of the work once all changes are made. */
  finish(): void;
  /** Removes what `stage` keeps beyond this run, once no change was made. */
  discard(): void;
}

/** What a step works with. */
export interface StepParts {
  /** Absolute path of certs.d. */
  readonly root: string;
  readonly change: DirectoryChange;
  /** The copy of the administrator's file that is kept already. */
  readonly kept: FoundFile | undefined;
  readonly staging: Staging;
  readonly disk: Disk;
}

const NO_LINKS = ['EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'EXDEV'];

/** The paths in the work directory where one hosts.toml is prepared. */
export class Staging {
  /** The new file, until it is renamed into place. */
  readonly next: string;
  /** The former file: to undo the change, and to see that nobody wrote into it meanwhile. */
  readonly before: string;
  /** The administrator's own file. */
  readonly kept: string;
  readonly #disk: Disk;

  constructor(workDirectory: string, path: string, disk: Disk) {
    const key = sumOf(path);
    this.next = join(workDirectory, `next-${key}`);
    this.before = join(workDirectory, `before-${key}`);
    this.kept = join(workDirectory, keptName(path));
    this.#disk = disk;
  }

  /**
   * Makes a second name for a file, or a copy where the file system has no hard links. Throws
   * LeftAlone when the path no longer holds that file: a link may have replaced it.
   */
  link(from: string, to: string, file: FoundFile): void {
    removeFile(to, this.#disk);
    if (!this.tryLink(from, to)) writeNewFile(to, file.text, file, this.#disk);
    try {
      this.check(file, to);
    } catch (error) {
      removeFile(to, this.#disk);
      throw error;
    }
  }

  /** False where the file system has no hard links. Throws for every other reason, EEXIST too. */
  tryLink(from: string, to: string): boolean {
    try {
      this.#disk.linkSync(from, to);
      return true;
    } catch (error) {
      if (NO_LINKS.includes(codeOf(error) ?? '')) return false;
      throw error;
    }
  }

  /**
   * Writes the desired file to `path`, as a link to the administrator's kept file where they are
   * the same.
   */
  write(path: string, desired: DesiredFile, kept: FoundFile | undefined): void {
    if (kept !== undefined && isSame(kept, desired)) this.link(this.kept, path, kept);
    else writeNewFile(path, desired.text, desired, this.#disk);
  }

  /**
   * Throws LeftAlone unless the path holds the expected text, or no file where none is expected.
   */
  check(expected: DesiredFile | undefined, path: string): void {
    const isThere = this.#disk.lstatSync(path, { throwIfNoEntry: false }) !== undefined;
    const now = isThere ? readFile(path, this.#disk) : undefined;
    if (now?.text !== expected?.text) throw writtenByOthers();
  }
}

export function writtenByOthers(): LeftAlone {
  return new LeftAlone('somebody else is writing it; run this again when that is done');
}

/** True for the same text, mode and owner. */
export function isSame(a: FoundFile, b: DesiredFile): boolean {
  const { owner } = b;
  const isOwner = owner === undefined || (a.owner.uid === owner.uid && a.owner.gid === owner.gid);
  return a.text === b.text && a.mode === b.mode && isOwner;
}

const STAGED = /^(?:next|before|kept)-[0-9a-f]{12}(?:-next)?$|^next-journal\.json$/;

/** Names of staged files in the work directory. Other names belong to somebody else. */
export function stagedIn(workDirectory: string, disk: Disk): string[] {
  return disk.readdirSync(workDirectory).filter((name) => STAGED.test(name));
}

/**
 * Removes a staged file, or a staged directory with a hosts.toml. Throws for a directory that holds
 * more.
 */
export function removeStaged(path: string, disk: Disk): void {
  if (!isDirectory(path, disk)) {
    removeFile(path, disk);
    return;
  }
  removeFile(join(path, HOSTS_TOML), disk);
  disk.rmdirSync(path);
}
