import { randomBytes } from 'node:crypto';
import { open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { STALE_TEMPORARY_MS } from './constants.ts';

const PRIVATE_MODE = 0o600;

/**
 * Writes a file whole or not at all, whenever the process or the machine dies: the old file stays
 * until the new one is on the disk. For the daemon, which must not wait for a disk. Commands write
 * certs.d and the installation with hosts/transaction/files.ts. Its tests stop a run at every call.
 */
export async function writeFileAtomically(
  path: string,
  text: string,
  mode = PRIVATE_MODE,
): Promise<void> {
  const temporary = `${prefixOf(path)}${randomBytes(6).toString('hex')}`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
}

/** Deletes temporary files of processes that were killed while they wrote. Never rejects. */
export async function deleteStaleTemporaries(path: string): Promise<void> {
  const prefix = basename(prefixOf(path));
  const names = await readdir(dirname(path)).catch(() => []);
  for (const name of names.filter((found) => found.startsWith(prefix))) {
    const found = join(dirname(path), name);
    try {
      if ((await stat(found)).mtimeMs < Date.now() - STALE_TEMPORARY_MS) await unlink(found);
    } catch {
      // Gone already, or not ours to delete. It harms nothing.
    }
  }
}

function prefixOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.`);
}
