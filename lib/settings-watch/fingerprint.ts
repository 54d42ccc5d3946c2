import type { BigIntStats } from 'node:fs';
import { lstat, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf } from '../base/errors.ts';
import { MAX_WATCHED_ENTRIES } from './constants.ts';

const FILE_NAME = 'hosts.toml';
/** Path of the journal, which says what is ours. */
const JOURNAL = '.spegel/journal.json';

export interface Fingerprint {
  /** A text that changes with everything on which the settings depend. */
  readonly text: string;
  /** Directories to watch, among them the nearest one that exists above a missing root. */
  readonly directories: readonly string[];
  /** Whether a run of `spegel configuration` has left its journal. */
  readonly hasJournal: boolean;
}

/**
 * Takes the state of all files without opening one. It runs in the thread pool, so that no pull
 * waits for the disk.
 */
export async function fingerprintOf(
  roots: readonly string[],
  files: readonly string[],
): Promise<Fingerprint> {
  const lines: string[] = [];
  const directories = new Set<string>();
  let hasJournal = false;
  for (const root of roots) {
    directories.add(await nearestDirectory(dirname(root)));
    const names = await namesIn(root);
    lines.push(`${root} ${await stampOf(root)} ${names.length}`);
    if (names.length > 0) directories.add(root);
    const journal = await stampOf(join(root, JOURNAL));
    hasJournal ||= /^\d/.test(journal);
    lines.push(journal);
    for (const name of names.slice(0, MAX_WATCHED_ENTRIES)) {
      const path = join(root, name);
      const kind = await lstat(path).catch(() => undefined);
      if (kind?.isDirectory() && !name.startsWith('.')) directories.add(path);
      // The times of the directory tell of certificates that come and go.
      lines.push(`${name} ${await stampOf(path)} ${await stampOf(join(path, FILE_NAME))}`);
    }
  }
  for (const file of files) lines.push(await stampOf(file));
  return { text: lines.join('\n'), directories: [...directories], hasJournal };
}

async function namesIn(path: string): Promise<string[]> {
  return (await readdir(path).catch(() => [])).sort();
}

/** A text that changes with the file, or the reason why it cannot be seen. */
async function stampOf(path: string): Promise<string> {
  try {
    return stamp(await stat(path, { bigint: true }));
  } catch (error) {
    return codeOf(error) ?? 'unknown';
  }
}

function stamp({ dev, ino, mode, size, ctimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${mode}:${size}:${ctimeNs}`;
}

async function nearestDirectory(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() || dirname(path) === path) return path;
  return nearestDirectory(dirname(path));
}
