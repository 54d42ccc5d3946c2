import { constants } from 'node:fs';
import { codeOf } from '../../base/errors.ts';
import { LeftAlone } from '../toml/semantics.ts';
import { MAX_FILE_BYTES, MAX_READ_BYTES } from './constants.ts';
import type { Disk } from './disk.ts';
import type { FileOwner } from './files.ts';

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
