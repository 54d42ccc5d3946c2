import {
  closeSync,
  constants,
  fchownSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { delay } from './abortable.ts';
import { LOCK_RETRY_MS, LOCK_WAIT_MS } from './constants.ts';
import { makeDataDirectory } from './data-directory.ts';
import { codeOf, messageOf, SpegelError } from './errors.ts';
import { flock } from './flock.ts';
import type { Part } from './lifecycle.ts';
import type { Logger } from './log.ts';

const LOCK_FILE = 'lock';
const LOCK_MODE = 0o600;
/** More than a process id has. */
const MAX_DIGITS = 20;

/**
 * Keeps a second daemon off the data directory: two daemons with one identity never meet, and a
 * third host meets one of them by chance. The lock is flock(2) on the file `lock`, which holds the
 * process id of its daemon. It ends with that process in any case; the file stays.
 */
export class DataDirectoryLock implements Part {
  readonly #log: Logger;
  readonly #dataDir: string;
  #descriptor: number | undefined;
  #isLocked = false;

  /** With an empty `dataDir` the daemon keeps nothing on disk, and needs no lock. */
  constructor({ log }: { readonly log: Logger }, dataDir: string) {
    this.#log = log;
    this.#dataDir = dataDir;
  }

  /** Rejects with SpegelError ERR_DATA_DIR when another daemon has it, or it cannot be made. */
  async start(signal: AbortSignal): Promise<void> {
    if (this.#dataDir === '') return;
    await makeDataDirectory(this.#dataDir);
    const descriptor = openLock(this.#dataDir);
    if (typeof descriptor !== 'number') {
      // A read-only directory is used, too: no daemon can change anything there.
      this.#log.debug('data directory is not locked', { error: messageOf(descriptor) });
      return;
    }
    this.#descriptor = descriptor;
    const deadline = performance.now() + LOCK_WAIT_MS;
    while (this.#isBusy(descriptor)) {
      if (performance.now() >= deadline) throw usedError(this.#dataDir, readPid(descriptor));
      await delay(LOCK_RETRY_MS, signal);
    }
  }

  async stop(): Promise<void> {
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    if (descriptor === undefined) return;
    if (this.#isLocked) writeText(descriptor, '');
    this.#isLocked = false;
    closeSync(descriptor);
  }

  #isBusy(descriptor: number): boolean {
    try {
      const result = flock(descriptor);
      this.#isLocked = result === 'locked';
      if (this.#isLocked) writeText(descriptor, `${process.pid}\n`);
      if (result === 'impossible') this.#warn('the file system has no locks');
      return result === 'busy';
    } catch (error) {
      this.#warn(messageOf(error));
      return false;
    }
  }

  #warn(error: string): void {
    const message = 'nothing keeps a second daemon off the data directory: it cannot be locked';
    this.#log.warn(message, { dataDir: this.#dataDir, error });
  }
}

/** The descriptor of the open lock file, or why it cannot be opened. */
function openLock(dataDir: string): number | Error {
  const path = join(dataDir, LOCK_FILE);
  try {
    const descriptor = openFile(path);
    if (!fstatSync(descriptor).isFile()) {
      closeSync(descriptor);
      return new Error(`${path} is not a regular file`);
    }
    giveAway(descriptor, dataDir);
    return descriptor;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** A file of another user that cannot be written can be locked as well. */
function openFile(path: string): number {
  const { O_RDONLY, O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    return openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, LOCK_MODE);
  } catch (error) {
    if (codeOf(error) !== 'EACCES') throw error;
    return openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  }
}

/** A daemon that root starts by hand must leave a file that the service can write. */
function giveAway(descriptor: number, dataDir: string): void {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = statSync(dataDir);
  fchownSync(descriptor, uid, gid);
}

/** Never throws: the text is for people, and a full disk must not end the daemon. */
function writeText(descriptor: number, text: string): void {
  try {
    ftruncateSync(descriptor, 0);
    writeSync(descriptor, text, 0);
  } catch {
    // The lock itself does not depend on it.
  }
}

function readPid(descriptor: number): string | undefined {
  try {
    const buffer = Buffer.alloc(MAX_DIGITS);
    const length = readSync(descriptor, buffer, 0, MAX_DIGITS, 0);
    return /^\d+/.exec(buffer.toString('latin1', 0, length))?.[0];
  } catch {
    return undefined;
  }
}

function usedError(dataDir: string, pid: string | undefined): SpegelError {
  const owner = pid === undefined ? 'another spegel' : `spegel with process id ${pid}`;
  return new SpegelError(
    'ERR_DATA_DIR',
    `data directory ${dataDir}: expected one that no other daemon uses, got one of ${owner}, which runs; stop that one, or give this one a directory of its own with --data-dir`,
  );
}
