import type { Stats } from 'node:fs';
import type { Disk } from '../transaction/disk.ts';
import { HOSTS_TOML } from '../transaction/read-tree.ts';
import { BACKUP, BackupTree, CLEARING, type PathPart, pathText, RESTORING } from './backup-tree.ts';

/**
 * The outcome for Go Spegel's `_backup`. Paths are relative to certs.d; a directory stands for all
 * that it holds.
 */
export interface GoBackupReport {
  /** Whether there is a directory `_backup`. */
  hasBackup: boolean;
  /** Moved back to where it was before Go Spegel. */
  restored: string[];
  /** Files of Go Spegel that replaced nothing. */
  removed: string[];
  /** Why `_backup` is left alone as a whole. */
  doubt: string | undefined;
  /** Paths that stay as they are; a person has to decide. */
  kept: { path: string; why: string }[];
}

/** The name of `_backup` once everything is back, until it is removed. */
const DONE = '.spegel-restored';

/**
 * Undoes Go Spegel's `configuration` (0.2 to 0.7, and before as long as it had a `_backup`) in a
 * certs.d: removes its files and moves the content of `_backup` back. What was added or edited
 * since stays where it is, and what it is in the way of stays in `_backup`. A `_backup` that may
 * belong to somebody else is not touched. After a crash or a failure at any point the next run ends
 * in the same state. Call it after our own blocks are removed: a block in Go Spegel's file counts
 * as an edit.
 *
 * @throws the file system's error (EACCES, EROFS, ENOSPC, EBUSY...), as it came
 */
export function restoreGoBackup(directory: string, disk: Disk): GoBackupReport {
  return new GoBackup(new BackupTree(directory, disk)).run();
}

/**
 * Whether `_backup` holds what Go Spegel moved away: `certain` where files of Go Spegel stand in
 * its place, `likely` where nothing does (or where a restoration has begun), `none` where it may be
 * anybody's.
 */
export function goBackupCertainty(directory: string, disk: Disk): 'certain' | 'likely' | 'none' {
  return new GoBackup(new BackupTree(directory, disk)).certainty();
}

/** Whether `restoreGoBackup` may change anything. */
export function mayRestoreGoBackup(directory: string, disk: Disk): boolean {
  const isLeft = new BackupTree(directory, disk).isDirectory(DONE);
  return isLeft || goBackupCertainty(directory, disk) !== 'none';
}

/**
 * Deletes first, then only moves, and changes the marker between the two. Without the marker, a
 * restored hosts.toml could pass for Go Spegel's and be deleted: its copy in `_backup` is gone, and
 * an earlier Go Spegel may have written it.
 */
class GoBackup {
  readonly #tree: BackupTree;
  readonly #report: GoBackupReport = {
    hasBackup: false,
    restored: [],
    removed: [],
    doubt: undefined,
    kept: [],
  };

  constructor(tree: BackupTree) {
    this.#tree = tree;
  }

  run(): GoBackupReport {
    this.#dispose();
    this.#report.hasBackup = this.#tree.isDirectory(BACKUP);
    if (!this.#report.hasBackup) return this.#report;
    if (!this.#tree.isDirectory(BACKUP, RESTORING)) {
      if (!this.#tree.isDirectory(BACKUP, CLEARING) && this.#isDoubtful()) return this.#report;
      this.#clear();
    }
    this.#merge([]);
    this.#finish();
    return this.#report;
  }

  certainty(): 'certain' | 'likely' | 'none' {
    const tree = this.#tree;
    if (!tree.isDirectory(BACKUP)) return 'none';
    if (tree.isDirectory(BACKUP, RESTORING)) return 'likely';
    if (tree.isDirectory(BACKUP, CLEARING) || this.#hasGoFiles()) return 'certain';
    return this.#isDoubtful() ? 'none' : 'likely';
  }

  #hasGoFiles(): boolean {
    return this.#tree.names().some(({ name }) => this.#tree.judge(name) !== undefined);
  }

  /**
   * Go Spegel moves everything away. Where none of its files is there, and something stands where
   * an entry of `_backup` would go, `_backup` may be a copy that the administrator made.
   */
  #isDoubtful(): boolean {
    if (this.#hasGoFiles()) return false;
    const obstacle = this.#tree.obstacle([]);
    if (obstacle === undefined) return false;
    this.#report.doubt = `it may not be Go Spegel's: none of its files is here, and ${obstacle} exists; move back by hand what is wanted`;
    return true;
  }

  #clear(): void {
    if (!this.#tree.isDirectory(BACKUP, CLEARING)) {
      this.#tree.mkdir(BACKUP, CLEARING);
      this.#tree.sync(BACKUP);
    }
    this.#emptyTrash();
    for (const { name } of this.#tree.names()) this.#clearRegistry(name);
    this.#clearCopiesOfLinks([]);
    this.#emptyTrash();
    this.#tree.rename([BACKUP, CLEARING], [BACKUP, RESTORING]);
    this.#tree.sync(BACKUP);
  }

  #clearRegistry(registry: Buffer): void {
    const path = [registry, HOSTS_TOML];
    const verdict = this.#tree.judge(registry);
    if (verdict === undefined) return;
    const isBackedUp = this.#tree.isDirectory(BACKUP, registry);
    const before = isBackedUp ? this.#tree.lstat(BACKUP, ...path) : undefined;
    // It is replaced in one step, later: containerd always finds one file or the other.
    if (before?.isFile()) return;
    if (verdict === 'edited') {
      const why = "Go Spegel's, but changed since; delete it if it is not wanted";
      if (before === undefined) this.#report.kept.push({ path: pathText(path), why });
      return;
    }
    if (isBackedUp || this.#tree.names(registry).length > 1) {
      this.#tree.unlink(...path);
      this.#tree.sync(registry);
    } else {
      // The file and its directory go in one step. An empty directory left behind could be
      // anybody's.
      this.#tree.rename([registry], [BACKUP, CLEARING, registry]);
      this.#tree.sync();
    }
    if (before === undefined) this.#report.removed.push(pathText(path));
  }

  /**
   * Removes the copies that Go Spegel made of what links point to. They can only be told as long as
   * nothing has moved, since a link may point to another entry of `_backup`.
   */
  #clearCopiesOfLinks(path: PathPart[]): void {
    for (const entry of this.#tree.backedUp(path)) {
      const here = [...path, entry.name];
      const there = this.#tree.lstat(...here);
      if (entry.isDirectory() && there?.isDirectory()) this.#clearCopiesOfLinks(here);
      if (!entry.isSymbolicLink() || !there?.isFile()) continue;
      if (!this.#tree.isSame([BACKUP, ...here], here)) continue;
      this.#tree.unlink(...here);
      this.#tree.sync(...path);
    }
  }

  #emptyTrash(): void {
    for (const { name } of this.#tree.names(BACKUP, CLEARING)) {
      const file = [BACKUP, CLEARING, name, HOSTS_TOML];
      if (this.#tree.lstat(...file) !== undefined) this.#tree.unlink(...file);
      this.#tree.rmdir(BACKUP, CLEARING, name);
    }
  }

  /** Moves the entries of a directory in `_backup` to the directory itself. */
  #merge(path: PathPart[]): void {
    for (const entry of this.#tree.backedUp(path)) this.#restore([...path, entry.name]);
    this.#tree.sync(...path);
    this.#tree.sync(BACKUP, ...path);
  }

  #restore(path: PathPart[]): void {
    const from = this.#tree.lstat(BACKUP, ...path);
    const there = this.#tree.lstat(...path);
    if (from?.isDirectory() && there?.isDirectory()) {
      // Set before the first file arrives, so that a private key is never in a directory more open
      // than before.
      this.#tree.setAttributes(path, from);
      this.#merge(path);
      if (this.#tree.names(BACKUP, ...path).length === 0) this.#tree.rmdir(BACKUP, ...path);
      return;
    }
    if (there !== undefined && !this.#mayReplace(path, from, there)) {
      this.#keepBoth(pathText(path));
      return;
    }
    // With two names of one file, rename would do nothing.
    if (from?.ino === there?.ino && from?.dev === there?.dev) {
      this.#tree.unlink(BACKUP, ...path);
    } else {
      this.#tree.rename([BACKUP, ...path], path);
    }
    this.#report.restored.push(pathText(path));
  }

  #keepBoth(path: string): void {
    this.#report.kept.push(
      { path, why: 'added, or changed after Go Spegel wrote it' },
      { path: `${BACKUP}/${path}`, why: `was there before Go Spegel, but ${path} is in its place` },
    );
  }

  #mayReplace(path: PathPart[], from: Stats | undefined, there: Stats): boolean {
    if (!from?.isFile() || !there.isFile()) return false;
    const [registry, file, ...deeper] = path;
    const isHostsToml = file?.toString() === HOSTS_TOML && deeper.length === 0;
    if (registry !== undefined && isHostsToml && this.#tree.judge(registry) === 'written')
      return true;
    return this.#tree.isSame([BACKUP, ...path], path);
  }

  /**
   * Renames `_backup` first: an empty `_backup` without its marker would look like that of a host
   * that had no files.
   */
  #finish(): void {
    if (this.#tree.names(BACKUP).length > 1) return;
    this.#tree.rename([BACKUP], [DONE]);
    this.#tree.sync();
    this.#dispose();
  }

  #dispose(): void {
    if (!this.#tree.isDirectory(DONE)) return;
    if (this.#tree.isDirectory(DONE, RESTORING)) this.#tree.rmdir(DONE, RESTORING);
    this.#tree.rmdir(DONE);
    this.#tree.sync();
  }
}
