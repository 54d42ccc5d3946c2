import { dirname, join } from 'node:path';
import { makeDirectory, removeFile, removeIfEmpty } from './files.ts';
import { HOSTS_TOML } from './read-tree.ts';
import { removeStaged, type Step, type StepParts, writtenByOthers } from './staging.ts';

/**
 * Adds a registry's directory with its hosts.toml in one rename. containerd reads the first
 * directory that exists, so a directory that is empty for a moment would hide `_default` from a
 * pull.
 */
export class AddDirectoryStep implements Step {
  readonly target: string;
  readonly stagedIn: string;
  readonly changedIn: string;
  readonly #parts: StepParts;
  #isCommitted = false;

  constructor(parts: StepParts) {
    this.target = join(parts.root, parts.change.name);
    this.stagedIn = parts.staging.next;
    this.changedIn = parts.root;
    this.#parts = parts;
  }

  stage(): void {
    const { next } = this.#parts.staging;
    const { file, entry } = this.#parts.change.desired;
    removeStaged(next, this.#parts.disk);
    makeDirectory(next, 0o755, this.#parts.disk);
    const kept = entry === undefined ? this.#parts.kept : undefined;
    if (file !== undefined) this.#parts.staging.write(join(next, HOSTS_TOML), file, kept);
  }

  commit(): void {
    // Fails when somebody made a directory there that holds something.
    this.#parts.disk.renameSync(this.#parts.staging.next, this.target);
    this.#isCommitted = true;
    this.#check();
  }

  #check(): void {
    const isBare = this.#parts.disk.readdirSync(this.target).every((name) => name === HOSTS_TOML);
    if (!isBare) throw writtenByOthers();
    this.#parts.staging.check(this.#parts.change.desired.file, join(this.target, HOSTS_TOML));
  }

  undo(): void {
    if (!this.#isCommitted) return;
    this.#check();
    this.#parts.disk.renameSync(this.target, this.#parts.staging.next);
  }

  finish(): void {}

  discard(): void {}
}

/**
 * Removes a directory in one rename, for the same reason. It holds nothing but a hosts.toml of
 * ours.
 */
export class RemoveDirectoryStep implements Step {
  readonly target: string;
  readonly stagedIn: string;
  readonly changedIn: string;
  readonly #parts: StepParts;
  #isCommitted = false;

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
    this.#isCommitted = true;
    const isBare = this.#parts.disk.readdirSync(before).every((name) => name === HOSTS_TOML);
    if (!isBare) throw writtenByOthers();
    this.#parts.staging.check(this.#parts.change.current?.file, join(before, HOSTS_TOML));
  }

  undo(): void {
    if (this.#isCommitted) this.#parts.disk.renameSync(this.#parts.staging.before, this.target);
  }

  /**
   * A process that has the directory open may have written into it since. Then the directory goes
   * back with what it wrote.
   */
  finish(): void {
    const { disk, staging } = this.#parts;
    removeFile(join(staging.before, HOSTS_TOML), disk);
    if (!removeIfEmpty(staging.before, disk)) disk.renameSync(staging.before, this.target);
  }

  discard(): void {}
}
