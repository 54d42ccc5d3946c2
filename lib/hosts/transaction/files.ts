import { codeOf } from '../../base/errors.ts';
import type { Disk } from './disk.ts';

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface NewFile {
  readonly mode: number;
  /** Undefined: the user of this process. */
  readonly owner?: FileOwner | undefined;
}

/**
 * Writes a new file and waits for the disk. Nobody but its owner can read it until it is complete;
 * then it gets its owner and mode. A file in its place, left by a run that was killed, is removed
 * first.
 */
export function writeNewFile(
  path: string,
  text: string,
  { mode, owner }: NewFile,
  disk: Disk,
): void {
  removeFile(path, disk);
  const descriptor = disk.openSync(path, 'wx', 0o600);
  try {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) at += disk.writeSync(descriptor, bytes, at);
    // The owner goes first: changing it clears bits of the mode.
    if (owner !== undefined) {
      const { uid, gid } = disk.fstatSync(descriptor);
      if (uid !== owner.uid || gid !== owner.gid) disk.fchownSync(descriptor, owner.uid, owner.gid);
    }
    disk.fchmodSync(descriptor, mode);
    disk.fsyncSync(descriptor);
  } finally {
    disk.closeSync(descriptor);
  }
}

/** Removes a file that may be gone already. */
export function removeFile(path: string, disk: Disk): void {
  try {
    disk.unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** True for a directory itself, not for a link to one. */
export function isDirectory(path: string, disk: Disk): boolean {
  return disk.lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Makes renames and removals in a directory last through a power cut. */
export function syncDirectory(path: string, disk: Disk): void {
  const descriptor = disk.openSync(path, 'r');
  try {
    disk.fsyncSync(descriptor);
  } finally {
    disk.closeSync(descriptor);
  }
}

/**
 * Makes a directory with this mode, whatever the umask: containerd need not be root to read
 * certs.d.
 */
export function makeDirectory(path: string, mode: number, disk: Disk): void {
  disk.mkdirSync(path, { mode });
  const descriptor = disk.openSync(path, 'r');
  try {
    disk.fchmodSync(descriptor, mode);
  } finally {
    disk.closeSync(descriptor);
  }
}

/** Removes a directory if it is empty; false when it holds something, or is gone. */
export function removeIfEmpty(path: string, disk: Disk): boolean {
  try {
    disk.rmdirSync(path);
    return true;
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(codeOf(error) ?? '')) return false;
    throw error;
  }
}
