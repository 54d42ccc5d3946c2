import { join } from 'node:path';
import { codeOf, SpegelError } from '../../base/errors.ts';
import type { Disk } from './disk.ts';
import { syncDirectory, writeNewFile } from './files.ts';

/** What we did to one hosts.toml. */
export interface JournalFile {
  /** The text between our marks. */
  readonly body: string;
  /** URLs of the mirrors in it. The other hosts in it are copied from the administrator. */
  readonly mirrors: readonly string[];
  /** The modes that we gave the file: two while it is being changed. */
  readonly modes: readonly number[];
  /** The mode that the file had before; undefined: we made the file. */
  readonly hadMode: number | undefined;
  /**
   * Sum of the administrator's text where our file has replaced it; undefined where our block
   * joined it.
   */
  readonly setAside: string | undefined;
}

/**
 * What is ours in a certs.d, written before anything is changed. The marks in the files tell what
 * was really done; the journal adds what the marks cannot say.
 */
export interface Journal {
  /** By path relative to certs.d. */
  readonly files: Readonly<Record<string, JournalFile>>;
  /** Names of the directories in certs.d that we made. */
  readonly directories: readonly string[];
  /** Absolute paths of certs.d and those above it that we made, the outermost first. */
  readonly roots: readonly string[];
  /**
   * containerd's config_path where it has further directories. When it loses them, our blocks in
   * those directories have to go. Empty: it has this one alone.
   */
  readonly hostsPaths: readonly string[];
}

export const EMPTY_JOURNAL: Journal = { files: {}, directories: [], roots: [], hostsPaths: [] };

export const JOURNAL_NAME = 'journal.json';
const VERSION = 1;

export function hasJournal(workDirectory: string, disk: Disk): boolean {
  return disk.lstatSync(join(workDirectory, JOURNAL_NAME), { throwIfNoEntry: false }) !== undefined;
}

/**
 * Reads the journal; an empty one where there is none. Throws SpegelError ERR_HOSTS for one that is
 * not ours.
 */
export function readJournal(workDirectory: string | undefined, disk: Disk): Journal {
  if (workDirectory === undefined) return EMPTY_JOURNAL;
  const path = join(workDirectory, JOURNAL_NAME);
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
      // The first releases know one directory.
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
 * The journal for the time of a change from `old` to `next`. A run that is killed leaves one of the
 * two states on the disk; this journal can tell ours from the administrator's text in both.
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
    // The sum in the mark proves the new block. The old block may have been edited, and then needs
    // this.
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
export function stageJournal(workDirectory: string, journal: Journal, disk: Disk): void {
  const text = `${JSON.stringify({ version: VERSION, ...journal }, null, 2)}\n`;
  // Bodies may hold the mirrors' credentials.
  writeNewFile(join(workDirectory, NEXT_NAME), text, { mode: 0o600 }, disk);
}

/** Puts the staged journal in force. It needs no room on the disk. */
export function commitJournal(workDirectory: string, disk: Disk): void {
  disk.renameSync(join(workDirectory, NEXT_NAME), join(workDirectory, JOURNAL_NAME));
  syncDirectory(workDirectory, disk);
}
