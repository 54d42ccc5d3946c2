import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf, messageOf, SpegelError } from './errors.ts';

const DIR_MODE = 0o700;

/** Makes the data directory and those above it. Rejects with SpegelError ERR_DATA_DIR. */
export async function makeDataDirectory(path: string): Promise<void> {
  try {
    await makeDirectory(path);
  } catch (error) {
    throw dataDirError(path, error);
  }
}

/**
 * Makes a directory and those above it. Node's own recursive mkdir never ends where the kernel
 * answers each attempt with ENOENT, as below /proc.
 */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: DIR_MODE });
  } catch (error) {
    const parent = dirname(path);
    const code = codeOf(error);
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (code !== 'ENOENT' || parent === path || (await exists(parent))) throw error;
    await makeDirectory(parent);
    await makeDirectory(path);
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** The error for a data directory that cannot be used; it says what can be done. */
export function dataDirError(dataDir: string, cause: unknown): SpegelError {
  return new SpegelError(
    'ERR_DATA_DIR',
    `data directory ${dataDir}: expected a writable directory, got ${messageOf(cause)}; fix it, choose another with --data-dir, or keep nothing on disk with --data-dir ""`,
    { cause },
  );
}
