import { join } from 'node:path';
import type { Disk } from './disk.ts';
import { syncDirectory } from './hidden-directory.ts';
import type { Change } from './plan.ts';
import { FILE_NAME, type FoundFile } from './read-tree.ts';
import { removeStaged, type Staging, type Step, writtenByOthers } from './staging.ts';

/**
 * A registry's directory that comes as a whole: containerd reads the first directory that exists, so one that
 * is empty for a moment would hide `_default` from a pull.
 */
export class NewDirectoryStep implements Step {
  readonly target: string;
  readonly #root: string;
  readonly #change: Change;
  readonly #kept: FoundFile | undefined;
  readonly #staging: Staging;
  readonly #disk: Disk;
  #isMade = false;

  constructor(
    root: string,
    change: Change,
    kept: FoundFile | undefined,
    staging: Staging,
    disk: Disk,
  ) {
    this.target = join(root, change.name);
    this.#root = root;
    this.#change = change;
    this.#kept = kept;
    this.#staging = staging;
    this.#disk = disk;
  }

  stage(): void {
    const { next } = this.#staging;
    const { file, entry } = this.#change.wanted;
    removeStaged(next, this.#disk);
    this.#disk.mkdirSync(next, { mode: 0o755 });
    const kept = entry === undefined ? this.#kept : undefined;
    if (file !== undefined) this.#staging.write(join(next, FILE_NAME), file, kept);
    syncDirectory(next, this.#disk);
  }

  commit(): void {
    // Fails when somebody made one that holds something.
    this.#disk.renameSync(this.#staging.next, this.target);
    this.#isMade = true;
    syncDirectory(this.#root, this.#disk);
    this.#check();
  }

  #check(): void {
    const isBare = this.#disk.readdirSync(this.target).every((name) => name === FILE_NAME);
    if (!isBare) throw writtenByOthers();
    this.#staging.check(this.#change.wanted.file, join(this.target, FILE_NAME));
  }

  undo(): void {
    if (!this.#isMade) return;
    this.#check();
    this.#disk.renameSync(this.target, this.#staging.next);
  }

  finish(): void {}
}

/** A directory that goes as a whole, for the same reason. It holds nothing but a hosts.toml of ours. */
export class GoneDirectoryStep implements Step {
  readonly target: string;
  readonly #root: string;
  readonly #change: Change;
  readonly #staging: Staging;
  readonly #disk: Disk;
  #isMade = false;

  constructor(root: string, change: Change, staging: Staging, disk: Disk) {
    this.target = join(root, change.name);
    this.#root = root;
    this.#change = change;
    this.#staging = staging;
    this.#disk = disk;
  }

  stage(): void {
    removeStaged(this.#staging.before, this.#disk);
  }

  commit(): void {
    const { before } = this.#staging;
    this.#disk.renameSync(this.target, before);
    this.#isMade = true;
    syncDirectory(this.#root, this.#disk);
    const isBare = this.#disk.readdirSync(before).every((name) => name === FILE_NAME);
    if (!isBare) throw writtenByOthers();
    this.#staging.check(this.#change.found?.file, join(before, FILE_NAME));
  }

  undo(): void {
    if (this.#isMade) this.#disk.renameSync(this.#staging.before, this.target);
  }

  finish(): void {}
}
