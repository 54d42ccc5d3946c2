import { dirname, join } from 'node:path';
import { DISPLACED_NAME } from './change.ts';
import { isDirectory, removeFile, syncDirectory, writeNewFile } from './files.ts';
import { isSame, removeStaged, type Step, type StepParts, writtenByOthers } from './staging.ts';

/** Adds, replaces or removes the hosts.toml of a directory that is there before and after. */
export class FileStep implements Step {
  readonly target: string;
  readonly stagedIn: string;
  readonly changedIn: string;
  readonly #parts: StepParts;
  #isMade = false;
  #isKept = false;

  constructor(parts: StepParts) {
    this.target = join(parts.root, parts.change.path);
    this.stagedIn = dirname(parts.staging.kept);
    this.changedIn = dirname(this.target);
    this.#parts = parts;
  }

  stage(): void {
    const { found, wanted } = this.#parts.change;
    const { before, next } = this.#parts.staging;
    for (const path of [before, next]) removeStaged(path, this.#parts.disk);
    if (found?.file !== undefined) this.#parts.staging.link(this.target, before, found.file);
    if (wanted.entry !== undefined) this.#keep();
    const kept = wanted.entry === undefined ? this.#parts.kept : undefined;
    if (wanted.file !== undefined) this.#parts.staging.write(next, wanted.file, kept);
  }

  /** What the administrator has now stays at hand: as the very file where that is still there. */
  #keep(): void {
    const { change, disk, kept: known, staging } = this.#parts;
    const { found, view, wanted } = change;
    if (view.file === undefined || (known && isSame(known, view.file))) return;
    const via = `${staging.kept}-next`;
    if (found?.file?.text === view.file.text) staging.link(this.target, via, view.file);
    else if (wanted.entry?.setAside !== undefined) {
      writeNewFile(via, view.file.text, view.file, disk);
    } else return;
    // Another run's, which our lock did not see, may be the only copy of something.
    staging.check(known, staging.kept);
    disk.renameSync(via, staging.kept);
    this.#isKept = known === undefined;
  }

  discard(): void {
    if (this.#isKept) removeFile(this.#parts.staging.kept, this.#parts.disk);
  }

  commit(): void {
    const { found, wanted } = this.#parts.change;
    // A link in its place by now would lead elsewhere.
    if (!isDirectory(dirname(this.target), this.#parts.disk)) throw writtenByOthers();
    // Last: whose new file is renamed into place behind this is not seen.
    this.#parts.staging.check(found?.file, this.target);
    this.#replace();
    this.#isMade = true;
    // Who wrote between the check and the rename wrote into the file that is `before` now.
    this.#parts.staging.check(found?.file, this.#parts.staging.before);
    this.#parts.staging.check(wanted.file, this.target);
  }

  #replace(): void {
    const { found, wanted } = this.#parts.change;
    const { next } = this.#parts.staging;
    if (wanted.file === undefined) {
      if (found?.file !== undefined) this.#parts.disk.unlinkSync(this.target);
    } else if (found?.file !== undefined || !this.#parts.staging.tryLink(next, this.target)) {
      // Where nothing was, a link and no rename: that would take the place of what somebody makes this moment.
      this.#parts.disk.renameSync(next, this.target);
    }
  }

  undo(): void {
    if (!this.#isMade) return;
    const { found, wanted } = this.#parts.change;
    this.#parts.staging.check(wanted.file, this.target);
    if (found?.file === undefined) removeFile(this.target, this.#parts.disk);
    else this.#parts.disk.renameSync(this.#parts.staging.before, this.target);
  }

  /** Puts beside it what was set aside and has lost its place. */
  finish(): void {
    const { view, wanted } = this.#parts.change;
    if (view.displaced === undefined || wanted.entry !== undefined) return;
    const directory = dirname(this.target);
    const taken = this.#parts.disk.readdirSync(directory);
    let name = DISPLACED_NAME;
    for (let number = 2; taken.includes(name); number += 1) name = `${DISPLACED_NAME}-${number}`;
    this.#parts.disk.renameSync(this.#parts.staging.kept, join(directory, name));
    syncDirectory(directory, this.#parts.disk);
  }
}
