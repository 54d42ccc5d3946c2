import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { delay } from '../../base/abortable.ts';
import { codeOf, SpegelError } from '../../base/errors.ts';
import { flock } from '../../base/flock.ts';
import { CERTS_D_LOCK_RETRY_MS, CERTS_D_LOCK_WAIT_MS } from './constants.ts';
import type { Disk } from './disk.ts';
import { explainErrorsAt, explained, withOutcome } from './disk-errors.ts';
import { removeIfEmpty } from './files.ts';
import { findWorkDirectory, makeWorkDirectory } from './work-directory.ts';

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = fs.constants;

/** Thrown by work that has something to change and no lock. */
export class LockNeeded extends SpegelError {
  constructor(root: string) {
    super('ERR_HOSTS', `${root}: somebody else is working on it; run this again`);
  }
}

/**
 * Runs `work` while no other spegel of this host works on the same directory, and waits for one
 * that does. It first calls `work(false)`, without a lock: where nothing has to change, nothing is
 * written, be it on a read-only disk. `work` throws LockNeeded where something has to change.
 *
 * The lock is flock(2) of the work directory itself. It ends with its process, leaves nothing
 * behind, moves with the directory, and a user that may not open the directory (mode 0700) cannot
 * take it. The first releases hold the name of an abstract unix socket instead, and neither sees
 * the other's lock: then only the journal keeps the two apart, as it does for two containers.
 * Rejects with SpegelError ERR_HOSTS when the wait was in vain.
 */
export async function withLock<T>(
  root: string,
  work: (isLocked: boolean) => T,
  { disk, signal }: { readonly disk: Disk; readonly signal: AbortSignal },
): Promise<T> {
  const seen = withoutLock(root, work, disk);
  if (seen !== undefined) return seen.value;
  const descriptor = await acquire(root, disk, signal);
  try {
    return work(true);
  } finally {
    try {
      removeEmpty(descriptor, root, disk);
    } finally {
      fs.closeSync(descriptor);
    }
  }
}

/** The result of the work; undefined: it has to be done with the lock. */
function withoutLock<T>(root: string, work: (isLocked: boolean) => T, disk: Disk) {
  const isBusy = () => workDirectoryOf(root, disk) !== undefined;
  if (isBusy()) return undefined;
  try {
    const value = work(false);
    // Another run may have begun meanwhile, and the work may have read half of what it wrote.
    return isBusy() ? undefined : { value };
  } catch (error) {
    if (error instanceof LockNeeded) return undefined;
    throw error;
  }
}

async function acquire(root: string, disk: Disk, signal: AbortSignal): Promise<number> {
  const deadline = Date.now() + CERTS_D_LOCK_WAIT_MS;
  for (;;) {
    const descriptor = tryToLock(root, disk);
    if (descriptor !== undefined) return descriptor;
    if (Date.now() > deadline) {
      throw new SpegelError(
        'ERR_HOSTS',
        `${root}: another spegel has been working on it for ${CERTS_D_LOCK_WAIT_MS / 1000} s; run this again when it has ended`,
      );
    }
    await delay(CERTS_D_LOCK_RETRY_MS, signal);
  }
}

/**
 * The descriptor that holds the lock until it is closed; undefined while another run holds the
 * lock, or has just held it.
 */
function tryToLock(root: string, disk: Disk): number | undefined {
  const path = workDirectoryOf(root, disk) ?? tryToMake(root, disk);
  const descriptor = path === undefined ? undefined : openDirectory(path);
  if (path === undefined || descriptor === undefined) return undefined;
  let isHeld = false;
  try {
    explainErrorsAt(path, () => checkAccess(descriptor, path));
    isHeld =
      // On a file system without flock only the journal keeps two runs apart.
      explainErrorsAt(path, () => flock(descriptor)) !== 'busy' &&
      // Between the opening and the lock another run may have removed the directory and made a new
      // one.
      isSame(descriptor, workDirectoryOf(root, disk));
    return isHeld ? descriptor : undefined;
  } finally {
    if (!isHeld) fs.closeSync(descriptor);
  }
}

function workDirectoryOf(root: string, disk: Disk): string | undefined {
  return explainErrorsAt(root, () => findWorkDirectory(root, disk));
}

function tryToMake(root: string, disk: Disk): string | undefined {
  try {
    return makeWorkDirectory(root, disk);
  } catch (error) {
    refuseOther(error, disk);
    // Another run has just made it, or removed the directory around it.
    if (['EEXIST', 'ENOENT'].includes(codeOf(error) ?? '')) return undefined;
    throw withOutcome(explained(error, root), 'nothing was changed');
  }
}

/** Something else may have its name, such as a link. It is neither followed nor waited for. */
function refuseOther(error: unknown, disk: Disk): void {
  const { code, path } = error as NodeJS.ErrnoException;
  if (code !== 'EEXIST' || path === undefined) return;
  const there = explainErrorsAt(path, () => disk.lstatSync(path, { throwIfNoEntry: false }));
  if (there === undefined || there.isDirectory()) return;
  throw new SpegelError(
    'ERR_HOSTS',
    `${path}: expected a directory of spegel's own, got something else; look at what it is, then remove it`,
  );
}

function openDirectory(path: string): number | undefined {
  try {
    return fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw explained(error, path);
  }
}

/**
 * A user that may open the directory can hold the lock for ever, so it must belong to this
 * process's user alone.
 */
function checkAccess(descriptor: number, path: string): void {
  const { uid, mode } = fs.fstatSync(descriptor);
  // The owner of the directory around it decides what containerd reads there, with a lock or
  // without.
  const owners = [process.geteuid?.(), fs.statSync(dirname(path)).uid];
  if (!owners.includes(uid)) {
    throw new SpegelError(
      'ERR_HOSTS',
      `${path}: expected a directory of user id ${owners[0]}, got one of ${uid}; look at what is in it, then remove it`,
    );
  }
  if ((mode & 0o077) !== 0) fs.fchmodSync(descriptor, 0o700);
}

function isSame(descriptor: number, path: string | undefined): boolean {
  const there =
    path === undefined ? undefined : fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
  const { dev, ino } = fs.fstatSync(descriptor, { bigint: true });
  return there?.dev === dev && there.ino === ino;
}

/**
 * Removes the work directory where it is empty, while the lock is held. A directory that another
 * run has made meanwhile stays: that one may be locked already.
 */
function removeEmpty(descriptor: number, root: string, disk: Disk): void {
  try {
    const path = findWorkDirectory(root, disk);
    if (path !== undefined && isSame(descriptor, path)) removeIfEmpty(path, disk);
  } catch (error) {
    // An empty directory does no harm, and must not hide the error of the disk that counts.
    if (codeOf(error) === undefined) throw error;
  }
}
