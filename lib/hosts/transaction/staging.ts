import { join } from 'node:path';
import { codeOf } from '../../base/errors.ts';
import { sumOf } from '../toml/block.ts';
import { LeftAlone } from '../toml/semantics.ts';
import type { DesiredFile, DirectoryChange } from './change.ts';
import type { Disk } from './disk.ts';
import { isDirectory, removeFile, writeNewFile } from './files.ts';
import { type FoundFile, HOSTS_TOML, readFile } from './read-tree.ts';

/** The name in the hidden directory under which we keep the administrator's own file. */
export function keptName(path: string): string {
  return `kept-${sumOf(path)}`;
}

/** One change that can be undone until all are made. */
export interface Step {
  /** The path it is about, for messages. */
  readonly target: string;
  /** The directory that is to be on the disk before `commit`: entries come into it in `stage`. */
  readonly stagedIn: string;
  /** The directory that is to be on the disk behind `commit`. */
  readonly changedIn: string;
  /** Lays everything ready in the hidden directory; changes nothing outside of it. */
  stage(): void;
  /** Makes the change. Throws LeftAlone when somebody else changed the place meanwhile. */
  commit(): void;
  /**
   * Makes it as it was before `commit`, also when that stopped in the middle. Throws LeftAlone when somebody
   * else changed the place since: what he wrote stays.
   */
  undo(): void;
  /** What is left to do when all changes are made. */
  finish(): void;
  /** What is left to do when none was made: what `stage` keeps beyond this run is not needed. */
  discard(): void;
}

/** What a step works with. */
export interface StepParts {
  /** Absolute path of certs.d. */
  readonly root: string;
  readonly change: DirectoryChange;
  /** What is kept of the administrator's file already. */
  readonly kept: FoundFile | undefined;
  readonly staging: Staging;
  readonly disk: Disk;
}

const NO_LINKS = ['EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'EXDEV'];

/** The place in the hidden directory where one hosts.toml is made ready. */
export class Staging {
  /** What is to come, until it is renamed to its place. */
  readonly next: string;
  /** What was there before: to undo, and to see that nobody wrote into it meanwhile. */
  readonly before: string;
  /** The administrator's own file. */
  readonly kept: string;
  readonly #disk: Disk;

  constructor(hidden: string, path: string, disk: Disk) {
    const key = sumOf(path);
    this.next = join(hidden, `next-${key}`);
    this.before = join(hidden, `before-${key}`);
    this.kept = join(hidden, keptName(path));
    this.#disk = disk;
  }

  /**
   * A second name for a file; a copy where the file system has none to give. Throws LeftAlone when it is not
   * that file any more: a link may have come in its place.
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

  /** False where the file system gives no second names; throws for every other reason, EEXIST too. */
  tryLink(from: string, to: string): boolean {
    try {
      this.#disk.linkSync(from, to);
      return true;
    } catch (error) {
      if (NO_LINKS.includes(codeOf(error) ?? '')) return false;
      throw error;
    }
  }

  /** The wanted file at `path`: as the administrator's very own, where that is what is wanted. */
  write(path: string, wanted: DesiredFile, kept: FoundFile | undefined): void {
    if (kept !== undefined && isSame(kept, wanted)) this.link(this.kept, path, kept);
    else writeNewFile(path, wanted.text, wanted, this.#disk);
  }

  /** Throws LeftAlone unless a file, or none, is at the path as expected. */
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

/** What lies ready in the hidden directory; names that are none of ours are somebody else's. */
export function stagedIn(hidden: string, disk: Disk): string[] {
  return disk.readdirSync(hidden).filter((name) => STAGED.test(name));
}

/** Removes one of them: a file, or a directory with a hosts.toml. Throws for a directory that holds more. */
export function removeStaged(path: string, disk: Disk): void {
  if (!isDirectory(path, disk)) {
    removeFile(path, disk);
    return;
  }
  removeFile(join(path, HOSTS_TOML), disk);
  disk.rmdirSync(path);
}
