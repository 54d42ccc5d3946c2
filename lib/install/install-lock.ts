import { closeSync, constants, openSync } from 'node:fs';
import { messageOf, SpegelError } from '../base/errors.ts';
import { flock } from '../base/flock.ts';

/** Only root writes to this directory, and a boot clears it. */
const LOCK_FILE = '/run/spegel-install.lock';

/**
 * Does `work` while no other install or uninstall works on this host: one would write the files
 * that the other removes. The lock ends with this process, and the file stays. Rejects with
 * SpegelError ERR_INSTALL when another process has the lock.
 */
export async function withInstallLock<T>(work: () => Promise<T>, path = LOCK_FILE): Promise<T> {
  const descriptor = openLock(path);
  try {
    // A file system without locks works as it did before there was a lock.
    if (flock(descriptor) !== 'busy') return await work();
    const text = 'another spegel install or uninstall is at work on this host, nothing was touched';
    throw new SpegelError('ERR_INSTALL', `${text}; run this again when it has ended`);
  } finally {
    closeSync(descriptor);
  }
}

function openLock(path: string): number {
  const { O_RDONLY, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    // Not readable for others: a user that has it open could hold the lock.
    return openSync(path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  } catch (error) {
    const text = `expected to make ${path}, got ${messageOf(error)}; look at what is there`;
    throw new SpegelError('ERR_INSTALL', text, { cause: error });
  }
}
