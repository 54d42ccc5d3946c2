import { dirname, join } from 'node:path';
import type { Disk } from './disk.ts';
import { removeFile, writeFileAtomically } from './file.ts';
import { syncDirectory } from './hidden-directory.ts';
import { type Change, DISPLACED_NAME } from './plan.ts';
import type { FoundFile } from './read-tree.ts';
import { isSame, removeStaged, type Staging, type Step } from './staging.ts';

/** Adds, replaces or removes the hosts.toml of a directory that is there before and after. */
export class FileStep implements Step {
  readonly target: string;
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
    this.target = join(root, change.path);
    this.#change = change;
    this.#kept = kept;
    this.#staging = staging;
    this.#disk = disk;
  }

  stage(): void {
    const { found, wanted } = this.#change;
    const { before, next } = this.#staging;
    for (const path of [before, next]) removeStaged(path, this.#disk);
    if (found?.file !== undefined) this.#staging.link(this.target, before, found.file);
    if (wanted.entry !== undefined) this.#keep();
    const kept = wanted.entry === undefined ? this.#kept : undefined;
    if (wanted.file !== undefined) this.#staging.write(next, wanted.file, kept);
  }

  /** What the administrator has now stays at hand: as the very file where that is still there. */
  #keep(): void {
    const { found, view, wanted } = this.#change;
    const { kept } = this.#staging;
    if (view.file === undefined || (this.#kept && isSame(this.#kept, view.file))) return;
    if (found?.file?.text === view.file.text) {
      this.#staging.link(this.target, kept, view.file);
    } else if (wanted.entry?.setAside !== undefined) {
      const via = `${kept}-next`;
      writeFileAtomically(kept, view.file.text, { ...view.file, via }, this.#disk);
    }
  }

  commit(): void {
    const { found, wanted } = this.#change;
    this.#staging.check(found?.file, this.target);
    this.#replace();
    this.#isMade = true;
    // Who wrote between the check and the rename wrote into the file that is `before` now.
    this.#staging.check(found?.file, this.#staging.before);
    this.#staging.check(wanted.file, this.target);
    syncDirectory(dirname(this.target), this.#disk);
  }

  #replace(): void {
    const { found, wanted } = this.#change;
    const { next } = this.#staging;
    if (wanted.file === undefined) {
      if (found?.file !== undefined) this.#disk.unlinkSync(this.target);
    } else if (found?.file !== undefined || !this.#staging.tryLink(next, this.target)) {
      // Where nothing was, a link and no rename: that would take the place of what somebody makes this moment.
      this.#disk.renameSync(next, this.target);
    }
  }

  undo(): void {
    if (!this.#isMade) return;
    const { found, wanted } = this.#change;
    this.#staging.check(wanted.file, this.target);
    if (found?.file === undefined) removeFile(this.target, this.#disk);
    else this.#disk.renameSync(this.#staging.before, this.target);
  }

  /** Puts beside it what was set aside and has lost its place. */
  finish(): void {
    const { view, wanted } = this.#change;
    if (view.displaced === undefined || wanted.entry !== undefined) return;
    const directory = dirname(this.target);
    const taken = this.#disk.readdirSync(directory);
    let name = DISPLACED_NAME;
    for (let number = 2; taken.includes(name); number += 1) name = `${DISPLACED_NAME}-${number}`;
    this.#disk.renameSync(this.#staging.kept, join(directory, name));
    syncDirectory(directory, this.#disk);
  }
}
