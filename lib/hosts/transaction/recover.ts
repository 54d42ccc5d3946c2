import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Disk } from './disk.ts';
import { isDirectory, removeFile, removeIfEmpty } from './files.ts';
import { commitJournal, hasJournal, JOURNAL_NAME, type Journal, readJournal } from './journal.ts';
import { keptName, removeStaged, type Step, stagedIn } from './staging.ts';
import { findWorkDirectory, moveOutside } from './work-directory.ts';

/*
 * How certs.d recovers from a run that was killed, lost its power or failed.
 *
 * There is no separate undo after a crash. Before its first change a run writes a journal that
 * covers the state before and the state after (`transition` in journal.ts). The marks in each
 * hosts.toml tell which of the two it is in. The next run, `configuration` or `cleanup`, reads
 * both, derives from them what the administrator's files were (../administrators-state.ts), and
 * plans from there as if nothing had happened. `isUnfinished` makes it write even when no file has
 * to change, and `finishRun` removes what the killed run had staged.
 *
 * A run that fails but lives undoes its own steps (steps.ts) and then calls `abandonRun`.
 */

/** The certs.d that recovers. */
export interface RecoveredCertsD {
  /** Absolute path. */
  readonly root: string;
  readonly disk: Disk;
}

/** Whether a killed run left something in the work directory that has to be removed. */
export function isUnfinished(
  { root, disk }: RecoveredCertsD,
  workDirectory: string,
  journal: Journal,
): boolean {
  if (unneededIn(workDirectory, journal, disk).length > 0) return true;
  return isEmpty(journal) ? hasJournal(workDirectory, disk) : dirname(workDirectory) !== root;
}

/**
 * Ends a run after its changes: puts its journal in force and removes everything from the work
 * directory that the journal does not need, also what killed runs left there.
 */
export function finishRun(certsD: RecoveredCertsD, workDirectory: string, journal: Journal): void {
  const { disk } = certsD;
  if (isEmpty(journal)) {
    removeTraces(certsD, workDirectory, journal.roots);
    return;
  }
  commitJournal(workDirectory, disk);
  for (const name of unneededIn(workDirectory, journal, disk)) {
    removeStaged(join(workDirectory, name), disk);
  }
}

function unneededIn(workDirectory: string, journal: Journal, disk: Disk): string[] {
  const needed = new Set(Object.keys(journal.files).map(keptName));
  return stagedIn(workDirectory, disk).filter((name) => !needed.has(name));
}

/** Removes every trace of us, and certs.d too if we made it and it holds nothing else. */
function removeTraces(
  { root, disk }: RecoveredCertsD,
  workDirectory: string,
  roots: readonly string[],
): void {
  const isAlone = roots.length > 0 && isAloneIn(root, workDirectory, disk);
  const [outermost = root] = roots;
  const last = isAlone ? moveOutside(workDirectory, root, outermost, disk) : workDirectory;
  if (isAlone) for (const path of roots.toReversed()) removeIfEmpty(path, disk);
  // The journal goes last: until then the next run knows what there is to remove.
  for (const name of stagedIn(last, disk)) removeStaged(join(last, name), disk);
  removeFile(join(last, JOURNAL_NAME), disk);
  // The directory itself is the lock. The run that holds the lock removes it at its end.
}

function isAloneIn(root: string, workDirectory: string, disk: Disk): boolean {
  if (!isDirectory(root, disk)) return true;
  return disk.readdirSync(root).every((name) => join(root, name) === workDirectory);
}

/** What a run that fails has begun. */
export interface BegunRun {
  readonly steps: readonly Step[];
  /** The journal that it wrote first. */
  readonly journal: Journal;
  /** Whether it wrote the first journal of this certs.d. */
  readonly isFirst: boolean;
  /** Directories that it made, the outermost first. */
  readonly roots: readonly string[];
  /** False: the same run tries again, and keeps its lock and its directories. */
  readonly isOver: boolean;
}

/**
 * Removes what a failed run made, as far as that can be removed, once its steps are undone. Never
 * throws.
 */
export function abandonRun({ root, disk }: RecoveredCertsD, run: BegunRun): void {
  const { steps, journal, isFirst, roots, isOver } = run;
  const workDirectory = findWorkDirectory(root, disk);
  if (workDirectory === undefined) return;
  try {
    for (const step of steps) step.discard();
    for (const name of stagedIn(workDirectory, disk)) {
      if (!name.startsWith('kept-')) removeStaged(join(workDirectory, name), disk);
    }
    // A spegel in another container, which does not see our lock, may have written its own journal.
    const isOurs = isFirst && isDeepStrictEqual(readJournal(workDirectory, disk), journal);
    if (isOurs) removeFile(join(workDirectory, JOURNAL_NAME), disk);
    if (!isOver) return;
    if (isFirst) removeIfEmpty(workDirectory, disk);
    for (const path of roots.toReversed()) removeIfEmpty(path, disk);
  } catch {
    // What stays in the work directory does no harm, and the failure itself is what has to be told.
  }
}

/** Whether the journal says that nothing of ours is there. */
export function isEmpty({ files, directories, hostsPaths }: Journal): boolean {
  return [Object.keys(files), directories, hostsPaths].every(({ length }) => length === 0);
}
