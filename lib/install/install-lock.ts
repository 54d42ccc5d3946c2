import { closeSync, constants, openSync } from 'node:fs';
import { messageOf, SpegelError } from '../base/errors.ts';
import { flock } from '../base/flock.ts';

/** Below what root alone writes, and gone with the boot. */
const LOCK_FILE = '/run/spegel-install.lock';

/**
 * Does `work` while no other install or uninstall of this host is at work: two at once would each
 * put in place what the other takes away. The lock ends with this process, however that ends; the
 * file stays. Rejects with SpegelError ERR_INSTALL when another has the lock.
 */
export async function withInstallLock<T>(work: () => Promise<T>, path = LOCK_FILE): Promise<T> {
  const descriptor = openLock(path);
  try {
    // Where the file system has no locks nothing is lost that was there before.
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
