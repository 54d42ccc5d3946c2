import { dirname, join } from 'node:path';
import { makeDirectory, removeFile, removeIfEmpty } from './files.ts';
import { HOSTS_TOML } from './read-tree.ts';
import { removeStaged, type Step, type StepParts, writtenByOthers } from './staging.ts';

/**
 * A registry's directory that comes as a whole: containerd reads the first directory that exists, so one that
 * is empty for a moment would hide `_default` from a pull.
 */
export class AddDirectoryStep implements Step {
  readonly target: string;
  readonly stagedIn: string;
  readonly changedIn: string;
  readonly #parts: StepParts;
  #isMade = false;

  constructor(parts: StepParts) {
    this.target = join(parts.root, parts.change.name);
    this.stagedIn = parts.staging.next;
    this.changedIn = parts.root;
    this.#parts = parts;
  }

  stage(): void {
    const { next } = this.#parts.staging;
    const { file, entry } = this.#parts.change.wanted;
    removeStaged(next, this.#parts.disk);
    makeDirectory(next, 0o755, this.#parts.disk);
    const kept = entry === undefined ? this.#parts.kept : undefined;
    if (file !== undefined) this.#parts.staging.write(join(next, HOSTS_TOML), file, kept);
  }

  commit(): void {
    // Fails when somebody made one that holds something.
    this.#parts.disk.renameSync(this.#parts.staging.next, this.target);
    this.#isMade = true;
    this.#check();
  }

  #check(): void {
    const isBare = this.#parts.disk.readdirSync(this.target).every((name) => name === HOSTS_TOML);
    if (!isBare) throw writtenByOthers();
    this.#parts.staging.check(this.#parts.change.wanted.file, join(this.target, HOSTS_TOML));
  }

  undo(): void {
    if (!this.#isMade) return;
    this.#check();
    this.#parts.disk.renameSync(this.target, this.#parts.staging.next);
  }

  finish(): void {}

  discard(): void {}
}

/** A directory that goes as a whole, for the same reason. It holds nothing but a hosts.toml of ours. */
export class RemoveDirectoryStep implements Step {
  readonly target: string;
  readonly stagedIn: string;
  readonly changedIn: string;
  readonly #parts: StepParts;
  #isMade = false;

  constructor(parts: StepParts) {
    this.target = join(parts.root, parts.change.name);
    this.stagedIn = dirname(parts.staging.before);
    this.changedIn = parts.root;
    this.#parts = parts;
  }

  stage(): void {
    removeStaged(this.#parts.staging.before, this.#parts.disk);
  }

  commit(): void {
    const { before } = this.#parts.staging;
    this.#parts.disk.renameSync(this.target, before);
    this.#isMade = true;
    const isBare = this.#parts.disk.readdirSync(before).every((name) => name === HOSTS_TOML);
    if (!isBare) throw writtenByOthers();
    this.#parts.staging.check(this.#parts.change.found?.file, join(before, HOSTS_TOML));
  }

  undo(): void {
    if (this.#isMade) this.#parts.disk.renameSync(this.#parts.staging.before, this.target);
  }

  /** Who stood in the directory may have written into it since: then it goes back with what he wrote. */
  finish(): void {
    const { disk, staging } = this.#parts;
    removeFile(join(staging.before, HOSTS_TOML), disk);
    if (!removeIfEmpty(staging.before, disk)) disk.renameSync(staging.before, this.target);
  }

  discard(): void {}
}
