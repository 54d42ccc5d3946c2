import { join } from 'node:path';
import { codeOf } from '../base/errors.ts';
import type { Disk } from './disk.ts';
import { removeFile, writeFileAtomically, writeNewFile } from './file.ts';
import { isDirectory, removeIfEmpty, syncDirectory } from './hidden-directory.ts';
import { LeftAlone } from './meaning.ts';
import { sumOf } from './mirror-block.ts';
import { type Change, DISPLACED_NAME, type WantedFile } from './plan.ts';
import { type FoundFile, readFile } from './read-tree.ts';

/** The name in the hidden directory under which we keep the administrator's own file. */
export function keptName(path: string): string {
  return `kept-${sumOf(path)}`;
}

/**
 * One change of one directory: first everything is laid ready in the hidden directory, then it takes effect
 * with one rename, and it can be undone until `finish`.
 */
export class DirectoryChange {
  readonly #change: Change;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #target: string;
  /** The new file, until it is renamed to its place. */
  readonly #next: string;
  /** A second name of the file that is replaced: to undo, and to see that nobody wrote into it meanwhile. */
  readonly #before: string;
  readonly #kept: string;
  #isMade = false;

  constructor(change: Change, root: string, hidden: string, disk: Disk) {
    const key = sumOf(change.path);
    this.#change = change;
    this.#disk = disk;
    this.#directory = join(root, change.name);
    this.#target = join(root, change.path);
    this.#next = join(hidden, `next-${key}`);
    this.#before = join(hidden, `before-${key}`);
    this.#kept = join(hidden, keptName(change.path));
  }

  get target(): string {
    return this.#target;
  }

  /** Lays ready. Changes nothing outside of the hidden directory. */
  stage(kept: FoundFile | undefined): void {
    const { found, view, wanted } = this.#change;
    removeFile(this.#before, this.#disk);
    if (found?.file !== undefined) this.#link(this.#target, this.#before, found.file);
    if (wanted.entry !== undefined && view.file !== undefined) this.#keep(view.file, kept);
    if (wanted.file === undefined) return;
    const isKept = wanted.entry === undefined && kept !== undefined && isSame(kept, wanted.file);
    if (isKept) this.#link(this.#kept, this.#next, kept);
    else writeNewFile(this.#next, wanted.file.text, wanted.file, this.#disk);
  }

  /** What the administrator has now stays at hand: as the very file where that is still there. */
  #keep(file: FoundFile, kept: FoundFile | undefined): void {
    if (kept?.text === file.text) return;
    const { found, wanted } = this.#change;
    if (found?.file?.text === file.text) {
      this.#link(this.#target, this.#kept, file);
    } else if (wanted.entry?.setAside !== undefined) {
      writeFileAtomically(
        this.#kept,
        file.text,
        { ...file, via: `${this.#kept}-next` },
        this.#disk,
      );
    }
  }

  /** A second name for a file; a copy where the file system has none to give. */
  #link(from: string, to: string, file: FoundFile): void {
    removeFile(to, this.#disk);
    try {
      this.#disk.linkSync(from, to);
    } catch (error) {
      if (!['EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'EXDEV'].includes(codeOf(error) ?? ''))
        throw error;
      writeNewFile(to, file.text, file, this.#disk);
    }
  }

  /** Makes the change. Throws LeftAlone when somebody else changed the file meanwhile. */
  commit(): void {
    const { found, wanted } = this.#change;
    this.#check(found?.file, this.#target);
    if (wanted.exists && !isDirectory(this.#directory, this.#disk)) {
      this.#disk.mkdirSync(this.#directory, { mode: 0o755 });
    }
    this.#replace(found?.file !== undefined, wanted.file !== undefined);
    this.#isMade = true;
    // Who wrote between the check and the rename wrote into the file that is `before` now.
    this.#check(found?.file, this.#before);
    this.#check(wanted.file, this.#target);
    if (isDirectory(this.#directory, this.#disk)) syncDirectory(this.#directory, this.#disk);
    if (!wanted.exists) removeIfEmpty(this.#directory, this.#disk);
  }

  #replace(isThere: boolean, isWanted: boolean): void {
    if (!isWanted && isThere) this.#disk.unlinkSync(this.#target);
    else if (isThere) this.#disk.renameSync(this.#next, this.#target);
    // A rename would take the place of a file that somebody made this moment; this fails.
    else if (isWanted) this.#disk.linkSync(this.#next, this.#target);
  }

  #check(expected: WantedFile | undefined, path: string): void {
    const isThere = this.#disk.lstatSync(path, { throwIfNoEntry: false }) !== undefined;
    const now = isThere ? readFile(path, this.#disk) : undefined;
    if (now?.text !== expected?.text) {
      throw new LeftAlone('somebody else is writing it; run this again when that is done');
    }
  }

  /** Makes it as it was before `commit`, also when that stopped in the middle. */
  undo(): void {
    const { found } = this.#change;
    if (this.#isMade && found?.file !== undefined) {
      if (!isDirectory(this.#directory, this.#disk)) this.#disk.mkdirSync(this.#directory);
      this.#disk.renameSync(this.#before, this.#target);
    } else if (this.#isMade) {
      removeFile(this.#target, this.#disk);
    }
    if (found === undefined) removeIfEmpty(this.#directory, this.#disk);
  }

  /** Puts beside it what was set aside and has lost its place. */
  finish(): void {
    const { view, wanted } = this.#change;
    if (view.displaced === undefined || wanted.entry !== undefined) return;
    let name = DISPLACED_NAME;
    for (let number = 2; this.#isTaken(name); number += 1) name = `${DISPLACED_NAME}-${number}`;
    this.#disk.renameSync(this.#kept, join(this.#directory, name));
    syncDirectory(this.#directory, this.#disk);
  }

  #isTaken(name: string): boolean {
    const path = join(this.#directory, name);
    return this.#disk.lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  }
}

function isSame(a: FoundFile, b: WantedFile): boolean {
  const isOwner =
    b.owner === undefined || (a.owner.uid === b.owner.uid && a.owner.gid === b.owner.gid);
  return a.text === b.text && a.mode === b.mode && isOwner;
}
