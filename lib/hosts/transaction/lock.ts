import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { delay } from '../../base/abortable.ts';
import { codeOf, SpegelError } from '../../base/errors.ts';
import { flock } from '../../base/flock.ts';
import type { Disk } from './disk.ts';
import { explainErrorsAt, explained, withOutcome } from './disk-errors.ts';
import { removeIfEmpty } from './files.ts';
import { findWorkDirectory, makeWorkDirectory } from './work-directory.ts';

/** Longer than any run takes that is not stuck. */
const WAIT_MS = 10_000;
const RETRY_MS = 100;

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = fs.constants;

/** Thrown by work that finds something to change while it has no lock. */
export class LockNeeded extends SpegelError {
  constructor(root: string) {
    super('ERR_HOSTS', `${root}: somebody else is working on it; run this again`);
  }
}

/**
 * Runs `work` while no other spegel of this host works on the same directory; waits for one that does.
 * First it may look without a lock, and throws LockNeeded if there is something to change: where
 * nothing is to do nothing is written, be it on a read-only disk.
 *
 * The lock is flock(2) of the hidden directory itself: it ends with its process, leaves nothing
 * behind, goes along when the directory is moved, and a user that may not open the directory (mode 0700)
 * cannot take it. Releases before this one hold an abstract unix socket's name, which any user can
 * take: neither sees the other. Two that meet in an upgrade are kept apart by the journal alone, as
 * two in containers are. Rejects with SpegelError ERR_HOSTS when the wait was in vain.
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

/** What the work gave; undefined: it is to be done with the lock. */
function withoutLock<T>(root: string, work: (isLocked: boolean) => T, disk: Disk) {
  const isBusy = () => hiddenOf(root, disk) !== undefined;
  if (isBusy()) return undefined;
  try {
    const value = work(false);
    // Another may have begun meanwhile, and what was read may be half of what it wrote.
    return isBusy() ? undefined : { value };
  } catch (error) {
    if (error instanceof LockNeeded) return undefined;
    throw error;
  }
}

async function acquire(root: string, disk: Disk, signal: AbortSignal): Promise<number> {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const descriptor = tryToLock(root, disk);
    if (descriptor !== undefined) return descriptor;
    if (Date.now() > deadline) {
      throw new SpegelError(
        'ERR_HOSTS',
        `${root}: another spegel has been working on it for ${WAIT_MS / 1000} s; run this again when it has ended`,
      );
    }
    await delay(RETRY_MS, signal);
  }
}

/** The descriptor whose closing ends the lock; undefined while another has it, or has just had it. */
function tryToLock(root: string, disk: Disk): number | undefined {
  const path = hiddenOf(root, disk) ?? tryToMake(root, disk);
  const descriptor = path === undefined ? undefined : openDirectory(path);
  if (path === undefined || descriptor === undefined) return undefined;
  let isHeld = false;
  try {
    explainErrorsAt(path, () => checkAccess(descriptor, path));
    isHeld =
      // Where there are no such locks, the journal alone keeps two apart, as it does two in containers.
      explainErrorsAt(path, () => flock(descriptor)) !== 'busy' &&
      // Between the opening and the lock another may have removed it, and made a new one.
      isSame(descriptor, hiddenOf(root, disk));
    return isHeld ? descriptor : undefined;
  } finally {
    if (!isHeld) fs.closeSync(descriptor);
  }
}

function hiddenOf(root: string, disk: Disk): string | undefined {
  return explainErrorsAt(root, () => findWorkDirectory(root, disk));
}

function tryToMake(root: string, disk: Disk): string | undefined {
  try {
    return makeWorkDirectory(root, disk);
  } catch (error) {
    refuseOther(error, disk);
    // Another has made it, or has removed the directory around it, just now.
    if (['EEXIST', 'ENOENT'].includes(codeOf(error) ?? '')) return undefined;
    throw withOutcome(explained(error, root), 'nothing was changed');
  }
}

/** What has its name may be no directory, such as a link: nothing of that is followed or waited for. */
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

/** A user that may open it can hold the lock for ever: that is to be its owner alone, which is us. */
function checkAccess(descriptor: number, path: string): void {
  const { uid, mode } = fs.fstatSync(descriptor);
  // The owner of the directory around it decides what containerd reads there, with a lock or without.
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
 * While we have the lock: it may be of no use any more. Not one that another has made meanwhile,
 * which may be locked already.
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
