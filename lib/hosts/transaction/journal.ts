import { join } from 'node:path';
import { codeOf, SpegelError } from '../../base/errors.ts';
import type { Disk } from './disk.ts';
import { syncDirectory, writeNewFile } from './files.ts';

/** What we did to one hosts.toml. */
export interface JournalFile {
  /** What stands between our marks. */
  readonly body: string;
  /** URLs of the mirrors in it; the other hosts in it are copied from the administrator. */
  readonly mirrors: readonly string[];
  /** The modes that we gave the file: two while it is being changed. */
  readonly modes: readonly number[];
  /** The mode that it had; undefined: we made the file. */
  readonly hadMode: number | undefined;
  /** Sum of the administrator's text where our file has taken its place; undefined where ours joined it. */
  readonly setAside: string | undefined;
}

/**
 * What is ours in a certs.d, written before anything is changed. The marks in the files tell what was really
 * done; the journal adds what they cannot say.
 */
export interface Journal {
  /** By path relative to certs.d. */
  readonly files: Readonly<Record<string, JournalFile>>;
  /** Names of the directories in certs.d that we made. */
  readonly directories: readonly string[];
  /** Absolute paths of certs.d and those above it that we made, the outermost first. */
  readonly roots: readonly string[];
  /**
   * containerd's config_path where that has further directories beside this one: in those may be
   * blocks of ours that have to go when it has them no more. Empty: it has this one alone.
   */
  readonly hostsPaths: readonly string[];
}

export const EMPTY_JOURNAL: Journal = { files: {}, directories: [], roots: [], hostsPaths: [] };

export const JOURNAL_NAME = 'journal.json';
const VERSION = 1;

export function hasJournal(hidden: string, disk: Disk): boolean {
  return disk.lstatSync(join(hidden, JOURNAL_NAME), { throwIfNoEntry: false }) !== undefined;
}

/** Reads the journal; an empty one where there is none. Throws SpegelError ERR_HOSTS for one that is not ours. */
export function readJournal(hidden: string | undefined, disk: Disk): Journal {
  if (hidden === undefined) return EMPTY_JOURNAL;
  const path = join(hidden, JOURNAL_NAME);
  let text: string;
  try {
    text = disk.readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return EMPTY_JOURNAL;
    throw error;
  }
  const journal = parsed(text);
  if (journal === undefined) {
    throw new SpegelError(
      'ERR_HOSTS',
      `${path}: expected the journal of this version of spegel, got something else; if it cannot be brought back, look at the files beside it, then remove it`,
    );
  }
  return journal;
}

function parsed(text: string): Journal | undefined {
  try {
    const value = JSON.parse(text) as Omit<Journal, 'hostsPaths'> & {
      readonly version: unknown;
      // Former releases know of one directory.
      readonly hostsPaths?: readonly string[];
    };
    const { directories, roots, hostsPaths = [] } = value;
    const isOurs =
      value.version === VERSION &&
      [directories, roots, hostsPaths].every(
        (list) => Array.isArray(list) && list.every((path) => typeof path === 'string'),
      ) &&
      Object.values(value.files).every(isJournalFile);
    if (!isOurs) return undefined;
    return { files: mapValues(value.files, withAllKeys), directories, roots, hostsPaths };
  } catch {
    return undefined;
  }
}

/** JSON leaves out what is undefined; journals are compared. */
function withAllKeys({ body, mirrors, modes, hadMode, setAside }: JournalFile): JournalFile {
  return { body, mirrors, modes, hadMode, setAside };
}

function mapValues<T>(record: Readonly<Record<string, T>>, map: (value: T) => T) {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

function isJournalFile({ body, mirrors, modes, hadMode, setAside }: JournalFile): boolean {
  return (
    typeof body === 'string' &&
    Array.isArray(mirrors) &&
    mirrors.every((url) => typeof url === 'string') &&
    Array.isArray(modes) &&
    [...modes, hadMode ?? 0].every(Number.isInteger) &&
    (setAside === undefined || typeof setAside === 'string')
  );
}

/**
 * What is written before a change from `old` to `next` begins: whichever of the two a run that is killed
 * leaves on the disk, everything that tells ours from the administrator's is in it.
 */
export function transition(old: Journal, next: Journal): Journal {
  const files: Record<string, JournalFile> = { ...old.files };
  for (const [path, entry] of Object.entries(next.files)) {
    const before = old.files[path];
    files[path] = before === undefined ? entry : between(before, entry);
  }
  return {
    files,
    directories: union(old.directories, next.directories),
    roots: union(old.roots, next.roots),
    hostsPaths: union(old.hostsPaths, next.hostsPaths),
  };
}

function between(old: JournalFile, next: JournalFile): JournalFile {
  return {
    // The new block proves itself by its sum; the old one may have been edited and needs this.
    body: old.body,
    mirrors: [...new Set([...old.mirrors, ...next.mirrors])],
    modes: [...new Set([...old.modes, ...next.modes])],
    hadMode: next.hadMode,
    setAside: next.setAside ?? old.setAside,
  };
}

function union(...lists: (readonly string[])[]): string[] {
  return [...new Set(lists.flat())];
}

const NEXT_NAME = 'next-journal.json';

/** Writes the journal beside the one in force, complete and on the disk. */
export function stageJournal(hidden: string, journal: Journal, disk: Disk): void {
  const text = `${JSON.stringify({ version: VERSION, ...journal }, null, 2)}\n`;
  // Bodies may hold the mirrors' credentials.
  writeNewFile(join(hidden, NEXT_NAME), text, { mode: 0o600 }, disk);
}

/** Puts the staged journal in force; needs no room on the disk. */
export function commitJournal(hidden: string, disk: Disk): void {
  disk.renameSync(join(hidden, NEXT_NAME), join(hidden, JOURNAL_NAME));
  syncDirectory(hidden, disk);
}
