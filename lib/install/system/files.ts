import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { codeOf, messageOf, SpegelError } from '../../base/errors.ts';
import { DISK } from '../../hosts/transaction/disk.ts';
import {
  type FileOwner,
  removeFile,
  removeIfEmpty,
  syncDirectory,
  writeNewFile,
} from '../../hosts/transaction/files.ts';

/** A file as an installation needs it. */
export interface InstallFile {
  readonly path: string;
  readonly mode: number;
  /** Its text, or the file to copy; undefined: there must be no such file. */
  readonly content: string | { readonly copyOf: string } | undefined;
  /** True: written only where there is none. An existing file belongs to the administrator. */
  readonly isKept?: boolean;
  /** Undefined: root. */
  readonly owner?: FileOwner;
}

export interface InstallFileChange {
  readonly path: string;
  /** `restore`: a file of the administrator's is again as it was before Spegel. */
  readonly action: 'add' | 'change' | 'remove' | 'restore';
}

/** The change that a file needs; undefined: it is as it should be. */
export function changeFor(file: InstallFile): InstallFileChange | undefined {
  return withPathInErrors(file.path, () => {
    const { path, mode, content, isKept = false } = file;
    const found = statOf(path);
    if (content === undefined) return found === undefined ? undefined : { path, action: 'remove' };
    if (found === undefined) return { path, action: 'add' };
    if (isKept) return undefined;
    const isSame = found.isFile() && (found.mode & 0o7777) === mode && isSameContent(path, content);
    return isSame ? undefined : { path, action: 'change' };
  });
}

/** When a file was last written, ISO 8601; undefined: there is none. */
export function changedAt(path: string): string | undefined {
  return statOf(path)?.mtime.toISOString();
}

/** Undefined: there is none, or a part of the path above it is no directory. */
function statOf(path: string): fs.Stats | undefined {
  try {
    return fs.lstatSync(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

function isSameContent(path: string, content: string | { readonly copyOf: string }): boolean {
  if (typeof content === 'string') return fs.readFileSync(path, 'utf8') === content;
  const [a, b] = [fs.statSync(path), fs.statSync(content.copyOf)];
  if (a.dev === b.dev && a.ino === b.ino) return true;
  return a.size === b.size && digestOf(path) === digestOf(content.copyOf);
}

function digestOf(path: string): string {
  return createHash('sha256').update(fs.readFileSync(path)).digest('hex');
}

/**
 * Writes or removes a file. A new text takes its place by a rename: a program that runs from the
 * old file, or has it open, keeps that.
 */
export function applyInstallFile({ path, mode, content, owner }: InstallFile): void {
  withPathInErrors(path, () => {
    if (content === undefined) return removeFileDurably(path);
    makeDirectory(dirname(path));
    const via = temporaryPathOf(path);
    try {
      if (typeof content === 'string') writeNewFile(via, content, { mode, owner }, DISK);
      else copyFile(content.copyOf, via, mode);
      fs.renameSync(via, path);
    } catch (error) {
      removeFile(via, DISK);
      throw error;
    }
    syncDirectory(dirname(path), DISK);
  });
}

function makeDirectory(path: string): void {
  if (fs.mkdirSync(path, { recursive: true, mode: 0o755 }) !== undefined) {
    syncDirectory(dirname(path), DISK);
  }
}

function removeFileDurably(path: string): void {
  removeFile(path, DISK);
  syncDirectory(dirname(path), DISK);
}

/** Removes a directory if it is empty. Returns the paths that are left in it. */
export function removeDirectoryIfEmpty(path: string): readonly string[] {
  return withPathInErrors(path, () => {
    if (fs.lstatSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
    if (removeIfEmpty(path, DISK)) return [];
    return fs.readdirSync(path).map((name) => join(path, name));
  });
}

function copyFile(from: string, to: string, mode: number): void {
  removeFile(to, DISK);
  // A reflink where the file system knows them: otherwise 120 MB are copied.
  fs.copyFileSync(from, to, fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE);
  const descriptor = fs.openSync(to, 'r');
  try {
    fs.fchownSync(descriptor, 0, 0);
    fs.fchmodSync(descriptor, mode);
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

/**
 * Does `work` on a path. An error of the system becomes SpegelError ERR_INSTALL that names the
 * path.
 */
export function withPathInErrors<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof SpegelError || codeOf(error) === undefined) throw error;
    const text = `${path}: expected to read and write it, got ${messageOf(error)}`;
    throw new SpegelError('ERR_INSTALL', `${text}; mend that and run this again`, { cause: error });
  }
}

/**
 * Where a file is written before the rename. A file that is there is left of a run that was killed.
 */
export function temporaryPathOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.spegel-new`);
}
