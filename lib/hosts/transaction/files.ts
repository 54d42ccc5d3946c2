import { constants } from 'node:fs';
import { codeOf } from '../../base/errors.ts';
import { LeftAlone } from '../toml/left-alone.ts';
import { MAX_FILE_BYTES, MAX_READ_BYTES } from './constants.ts';
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

export interface FoundFile {
  readonly text: string;
  readonly mode: number;
  readonly owner: FileOwner;
}

/** A path holds something else than a file. */
export class NoFile extends LeftAlone {
  constructor() {
    super('expected a file, got something else');
  }
}

/**
 * Reads a file that is to be written again later. Throws LeftAlone where it is no plain file of
 * bounded size. It is opened so that a link is not followed and a pipe not waited for.
 */
export function readFile(path: string, disk: Disk, textOf = decode): FoundFile {
  const descriptor = openPlain(path, disk);
  try {
    const stat = disk.fstatSync(descriptor);
    if (!stat.isFile()) throw new NoFile();
    if (stat.size > MAX_READ_BYTES) {
      throw new LeftAlone(`expected at most ${MAX_FILE_BYTES} bytes, got ${stat.size}`);
    }
    const { uid, gid } = stat;
    const text = textOf(disk.readFileSync(descriptor));
    // An editor may have renamed a new file into place during the read.
    const { dev, ino } = disk.lstatSync(path);
    if (dev !== stat.dev || ino !== stat.ino) throw new LeftAlone('somebody else is writing it');
    return { text, mode: stat.mode & 0o7777, owner: { uid, gid } };
  } finally {
    disk.closeSync(descriptor);
  }
}

function openPlain(path: string, disk: Disk): number {
  try {
    return disk.openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ELOOP') {
      throw new LeftAlone(
        'it is a symbolic link, and we write no file by way of a link; put the file itself here',
      );
    }
    if (codeOf(error) === 'ENXIO') throw new NoFile();
    throw error;
  }
}

/** The file's bytes as text, with a byte order mark. Throws LeftAlone where they are no UTF-8. */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new LeftAlone('expected UTF-8, as TOML is, got other bytes; correct it');
  }
}

/** The text, or nothing where the bytes are no UTF-8. */
export function decodeOrNothing(bytes: Uint8Array): string {
  try {
    return decode(bytes);
  } catch (error) {
    if (!(error instanceof LeftAlone)) throw error;
    return '';
  }
}
