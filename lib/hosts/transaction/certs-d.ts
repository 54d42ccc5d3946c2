import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { codeOf, SpegelError } from '../../base/errors.ts';
import type { CurrentState, DirectoryChange, Plan } from './change.ts';
import { AddDirectoryStep, RemoveDirectoryStep } from './directory-step.ts';
import type { Disk } from './disk.ts';
import { explainErrorsAt, explained, withOutcome } from './disk-errors.ts';
import { isReadByDocker } from './docker-settings.ts';
import { FileStep } from './file-step.ts';
import { isDirectory, makeDirectory, removeFile, removeIfEmpty } from './files.ts';
import {
  commitJournal,
  hasJournal,
  JOURNAL_NAME,
  type Journal,
  readJournal,
  stageJournal,
  transition,
} from './journal.ts';
import { LockNeeded } from './lock.ts';
import { isHiddenByUnit } from './mount-points.ts';
import { type FoundFile, readFile, readTree } from './read-tree.ts';
import { keptName, removeStaged, Staging, type Step, stagedIn } from './staging.ts';
import { commitAll, refusalOf, StepFailed, stageAll, UndoFailed } from './steps.ts';
import {
  findWorkDirectory,
  missingDirectories,
  moveInside,
  moveOutside,
} from './work-directory.ts';

/**
 * A certs.d on the disk: what is there, and how it is changed so that a crash at any moment leaves a state
 * which the next run finishes or undoes. The way: journal, everything laid ready in the hidden directory, one
 * rename for each file, journal again.
 */
export class CertsD {
  readonly root: string;
  readonly #disk: Disk;

  /** `path` may not exist yet; a link to a directory is followed here and nowhere below. */
  constructor(path: string, disk: Disk) {
    this.root = resolved(path, disk);
    if (isHiddenByUnit(this.root, disk)) {
      throw new SpegelError(
        'ERR_HOSTS',
        `${this.root}: systemd hides it from this unit (ProtectHome= or PrivateTmp=), so what is there is not known; move it below /etc, or allow it with a drop-in: systemctl edit spegel-configuration`,
      );
    }
    this.#disk = disk;
  }

  /** Throws SpegelError ERR_HOSTS when it cannot be read. */
  read(): CurrentState {
    const disk = this.#disk;
    return explainErrorsAt(this.root, () => {
      const tree = readTree(this.root, disk);
      const hidden = findWorkDirectory(this.root, disk);
      const journal = this.#withOwnRoots(readJournal(hidden, disk));
      const exists = isDirectory(this.root, disk);
      const kept = readKept(hidden, journal, disk);
      return {
        root: this.root,
        exists,
        isReadByDocker: isReadByDocker(this.root, disk),
        tree,
        journal,
        kept,
      };
    });
  }

  /** What the last run wrote down. Throws SpegelError ERR_HOSTS when it cannot be read. */
  journal(): Journal {
    const disk = this.#disk;
    return explainErrorsAt(this.root, () => readJournal(findWorkDirectory(this.root, disk), disk));
  }

  /** A certs.d that was copied or moved brings a journal along whose directories are not those above it. */
  #withOwnRoots(journal: Journal): Journal {
    return journal.roots.at(-1) === this.root ? journal : { ...journal, roots: [] };
  }

  /**
   * Makes all changes of a plan or none. Throws SpegelError ERR_HOSTS that names the path and the
   * reason; ChangeRefused where that is about one directory alone; LockNeeded when something is to
   * do, and nothing was done, without the lock.
   */
  apply(state: CurrentState, plan: Plan, isLocked: boolean): void {
    const found = findWorkDirectory(this.root, this.#disk);
    if (plan.changes.length === 0 && isDeepStrictEqual(plan.journal, state.journal)) {
      // On a read-only disk there is nothing to do either, as long as no run was killed.
      if (found === undefined || !this.#hasRests(found, plan.journal)) return;
    }
    // The run that has the lock has made it.
    if (!isLocked || found === undefined) throw new LockNeeded(this.root);
    const roots = plan.changes.length > 0 ? missingDirectories(this.root, this.#disk) : [];
    const next = { ...plan.journal, roots: [...new Set([...state.journal.roots, ...roots])] };
    const [hidden, steps] = this.#tryChange(found, roots, state, plan, next);
    try {
      for (const step of steps) explainErrorsAt(step.target, () => step.finish());
      explainErrorsAt(hidden, () => this.#finish(hidden, next));
    } catch (error) {
      throw withOutcome(error, 'the files are changed; run this again to tidy up');
    }
  }

  #tryChange(
    found: string,
    roots: readonly string[],
    state: CurrentState,
    plan: Plan,
    next: Journal,
  ): [hidden: string, steps: Step[]] {
    const journal = transition(state.journal, next);
    const isNew = !hasJournal(found, this.#disk);
    let steps: Step[] = [];
    try {
      const hidden = this.#prepare(found, roots, journal);
      steps = plan.changes.map((change) => this.#stepOf(change, state, hidden));
      stageAll(steps, this.#disk);
      // Behind the changes nothing is to need room on the disk any more.
      if (!isEmpty(next)) explainErrorsAt(hidden, () => stageJournal(hidden, next, this.#disk));
      commitAll(steps, this.#disk);
      return [hidden, steps];
    } catch (error) {
      if (error instanceof UndoFailed) {
        throw withOutcome(
          error.cause,
          'some files are changed; run this again when that is mended',
        );
      }
      const refusal = refusalOf(error, steps, plan);
      // Then the same run goes on, with its lock.
      const isOver = refusal === undefined;
      this.#abandon(steps, { isNew, isOver, roots, journal });
      if (refusal !== undefined) throw refusal;
      const cause = error instanceof StepFailed ? error.cause : error;
      throw withOutcome(cause, 'nothing was changed');
    }
  }

  /** The journal, then certs.d itself where there is none; gives the hidden directory. */
  #prepare(start: string, roots: readonly string[], journal: Journal): string {
    explainErrorsAt(start, () => {
      stageJournal(start, journal, this.#disk);
      commitJournal(start, this.#disk);
    });
    for (const path of roots) explainErrorsAt(path, () => makeDirectory(path, 0o755, this.#disk));
    if (!isDirectory(this.root, this.#disk)) return start;
    return explainErrorsAt(this.root, () => moveInside(start, this.root, this.#disk));
  }

  #stepOf(change: DirectoryChange, state: CurrentState, hidden: string): Step {
    const { found, path, wanted } = change;
    const [root, disk, kept] = [this.root, this.#disk, state.kept.get(path)];
    const parts = { root, change, kept, staging: new Staging(hidden, path, disk), disk };
    if (found === undefined) return new AddDirectoryStep(parts);
    return wanted.exists ? new FileStep(parts) : new RemoveDirectoryStep(parts);
  }

  /** The journal of what is now, and nothing in the hidden directory that it does not need. */
  #finish(hidden: string, journal: Journal): void {
    if (isEmpty(journal)) {
      this.#removeHidden(hidden, journal.roots);
      return;
    }
    commitJournal(hidden, this.#disk);
    for (const name of this.#rests(hidden, journal)) removeStaged(join(hidden, name), this.#disk);
  }

  #rests(hidden: string, journal: Journal): string[] {
    const needed = new Set(Object.keys(journal.files).map(keptName));
    return stagedIn(hidden, this.#disk).filter((name) => !needed.has(name));
  }

  /** True when a run that was killed left something to remove. */
  #hasRests(hidden: string, journal: Journal): boolean {
    if (this.#rests(hidden, journal).length > 0) return true;
    return isEmpty(journal) ? hasJournal(hidden, this.#disk) : dirname(hidden) !== this.root;
  }

  /** Removes every trace of us; certs.d too if we made it and it holds nothing else. */
  #removeHidden(hidden: string, roots: readonly string[]): void {
    const isAlone = roots.length > 0 && this.#isAlone(hidden);
    const [outermost = this.root] = roots;
    const last = isAlone ? moveOutside(hidden, this.root, outermost, this.#disk) : hidden;
    if (isAlone) for (const path of roots.toReversed()) removeIfEmpty(path, this.#disk);
    // The journal last: until then a run that follows knows what there is to remove.
    for (const name of stagedIn(last, this.#disk)) removeStaged(join(last, name), this.#disk);
    removeFile(join(last, JOURNAL_NAME), this.#disk);
    // Not the directory itself, which is the lock: that goes last, with the run that has it.
  }

  #isAlone(hidden: string): boolean {
    if (!isDirectory(this.root, this.#disk)) return true;
    return this.#disk.readdirSync(this.root).every((name) => join(this.root, name) === hidden);
  }

  /** After a failure: what was made for this run goes again, as far as it can be removed. */
  #abandon(steps: readonly Step[], { isNew, isOver, roots, journal }: Begun): void {
    const hidden = findWorkDirectory(this.root, this.#disk);
    if (hidden === undefined) return;
    try {
      for (const step of steps) step.discard();
      for (const name of stagedIn(hidden, this.#disk)) {
        if (!name.startsWith('kept-')) removeStaged(join(hidden, name), this.#disk);
      }
      // A spegel in another container, which our lock does not see, may have taken over.
      const isOurs = isNew && isDeepStrictEqual(readJournal(hidden, this.#disk), journal);
      if (isOurs) removeFile(join(hidden, JOURNAL_NAME), this.#disk);
      if (!isOver) return;
      if (isNew) removeIfEmpty(hidden, this.#disk);
      for (const path of roots.toReversed()) removeIfEmpty(path, this.#disk);
    } catch {
      // What cannot be removed is in the hidden directory and harmless; the failure itself is what counts.
    }
  }
}

/** What a run that fails has begun. */
interface Begun {
  /** There was no journal before. */
  readonly isNew: boolean;
  readonly isOver: boolean;
  readonly roots: readonly string[];
  readonly journal: Journal;
}

function isEmpty({ files, directories, hostsPaths }: Journal): boolean {
  return [Object.keys(files), directories, hostsPaths].every(({ length }) => length === 0);
}

/** The path without links. What does not exist yet is put behind the part that does. */
function resolved(path: string, disk: Disk): string {
  try {
    return disk.realpathSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' || dirname(path) === path) throw explained(error, path);
    return join(resolved(dirname(path), disk), path.slice(dirname(path).length));
  }
}

function readKept(
  hidden: string | undefined,
  journal: Journal,
  disk: Disk,
): Map<string, FoundFile> {
  const kept = new Map<string, FoundFile>();
  for (const path of hidden === undefined ? [] : Object.keys(journal.files)) {
    const file = join(hidden ?? '', keptName(path));
    if (disk.lstatSync(file, { throwIfNoEntry: false })?.isFile()) {
      kept.set(path, readFile(file, disk));
    }
  }
  return kept;
}
