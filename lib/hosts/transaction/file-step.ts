import { dirname, join } from 'node:path';
import { DISPLACED_NAME } from './change.ts';
import { isDirectory, removeFile, syncDirectory, writeNewFile } from './files.ts';
import { isSame, removeStaged, type Step, type StepParts, writtenByOthers } from './staging.ts';

/** Adds, replaces or removes the hosts.toml of a directory that stays. */
export class FileStep implements Step {
  readonly target: string;
  readonly stagedIn: string;
  readonly changedIn: string;
  readonly #parts: StepParts;
  #isCommitted = false;
  #isKept = false;

  constructor(parts: StepParts) {
    this.target = join(parts.root, parts.change.path);
    this.stagedIn = dirname(parts.staging.kept);
    this.changedIn = dirname(this.target);
    this.#parts = parts;
  }

  stage(): void {
    const { current, desired } = this.#parts.change;
    const { before, next } = this.#parts.staging;
    for (const path of [before, next]) removeStaged(path, this.#parts.disk);
    if (current?.file !== undefined) this.#parts.staging.link(this.target, before, current.file);
    if (desired.entry !== undefined) this.#keep();
    const kept = desired.entry === undefined ? this.#parts.kept : undefined;
    if (desired.file !== undefined) this.#parts.staging.write(next, desired.file, kept);
  }

  /** Keeps the administrator's file: as a link to the very file where it is still there. */
  #keep(): void {
    const { change, disk, kept: known, staging } = this.#parts;
    const { current, administrators, desired } = change;
    if (administrators.file === undefined || (known && isSame(known, administrators.file))) return;
    const via = `${staging.kept}-next`;
    if (current?.file?.text === administrators.file.text)
      staging.link(this.target, via, administrators.file);
    else if (desired.entry?.setAside !== undefined) {
      writeNewFile(via, administrators.file.text, administrators.file, disk);
    } else return;
    // A run in another container, which does not see our lock, may have put the only copy there.
    staging.check(known, staging.kept);
    disk.renameSync(via, staging.kept);
    this.#isKept = known === undefined;
  }

  discard(): void {
    if (this.#isKept) removeFile(this.#parts.staging.kept, this.#parts.disk);
  }

  commit(): void {
    const { current, desired } = this.#parts.change;
    // A link that has replaced the directory would lead elsewhere.
    if (!isDirectory(dirname(this.target), this.#parts.disk)) throw writtenByOthers();
    // The last check: a file that is renamed into place after it is overwritten unseen.
    this.#parts.staging.check(current?.file, this.target);
    this.#replace();
    this.#isCommitted = true;
    // A write between the check and the rename went into the file that is `before` now.
    this.#parts.staging.check(current?.file, this.#parts.staging.before);
    this.#parts.staging.check(desired.file, this.target);
  }

  #replace(): void {
    const { current, desired } = this.#parts.change;
    const { next } = this.#parts.staging;
    if (desired.file === undefined) {
      if (current?.file !== undefined) this.#parts.disk.unlinkSync(this.target);
    } else if (current?.file !== undefined || !this.#parts.staging.tryLink(next, this.target)) {
      // A link fails where somebody has just made a file; a rename would overwrite it.
      this.#parts.disk.renameSync(next, this.target);
    }
  }

  undo(): void {
    if (!this.#isCommitted) return;
    const { current, desired } = this.#parts.change;
    this.#parts.staging.check(desired.file, this.target);
    if (current?.file === undefined) removeFile(this.target, this.#parts.disk);
    else this.#parts.disk.renameSync(this.#parts.staging.before, this.target);
  }

  /** Moves the file that was set aside and has lost its place beside the hosts.toml. */
  finish(): void {
    const { administrators, desired } = this.#parts.change;
    if (administrators.displaced === undefined || desired.entry !== undefined) return;
    const directory = dirname(this.target);
    const taken = this.#parts.disk.readdirSync(directory);
    let name = DISPLACED_NAME;
    for (let number = 2; taken.includes(name); number += 1) name = `${DISPLACED_NAME}-${number}`;
    this.#parts.disk.renameSync(this.#parts.staging.kept, join(directory, name));
    syncDirectory(directory, this.#parts.disk);
  }
}
