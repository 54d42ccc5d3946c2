import { basename, dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { codeOf, SpegelError } from '../../base/errors.ts';
import type { CurrentState, DirectoryChange, Plan } from './change.ts';
import { AddDirectoryStep, RemoveDirectoryStep } from './directory-step.ts';
import type { Disk } from './disk.ts';
import { explainErrorsAt, explained, withOutcome } from './disk-errors.ts';
import { FileStep } from './file-step.ts';
import { type FoundFile, isDirectory, makeDirectory, readFile } from './files.ts';
import {
  commitJournal,
  hasJournal,
  type Journal,
  readJournal,
  stageJournal,
  transition,
} from './journal.ts';
import { LockNeeded } from './lock.ts';
import { isHiddenByUnit } from './mount-points.ts';
import { readTree } from './read-tree.ts';
import { abandonRun, finishRun, isEmpty, isUnfinished } from './recover.ts';
import { keptName, Staging, type Step } from './staging.ts';
import { commitAll, refusalOf, StepFailed, stageAll, UndoFailed } from './steps.ts';
import { findWorkDirectory, missingDirectories, moveInside } from './work-directory.ts';

/**
 * A certs.d on the disk: what is there, and how it is changed so that a crash at any moment leaves
 * a state that the next run finishes or undoes (recover.ts). A run writes the journal, stages all
 * changes in the work directory, renames each file into place, and writes the journal again.
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
      const workDirectory = findWorkDirectory(this.root, disk);
      const journal = this.#withOwnRoots(readJournal(workDirectory, disk));
      const exists = isDirectory(this.root, disk);
      const kept = readKept(workDirectory, journal, disk);
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

  /** The journal of the last run. Throws SpegelError ERR_HOSTS when it cannot be read. */
  journal(): Journal {
    const disk = this.#disk;
    return explainErrorsAt(this.root, () => readJournal(findWorkDirectory(this.root, disk), disk));
  }

  /** The journal of a certs.d that was copied or moved names directories that are not above it. */
  #withOwnRoots(journal: Journal): Journal {
    return journal.roots.at(-1) === this.root ? journal : { ...journal, roots: [] };
  }

  /**
   * Makes all changes of a plan or none. Throws SpegelError ERR_HOSTS that names the path and the
   * reason, ChangeRefused where the reason concerns one directory alone, and LockNeeded when there
   * is something to do and `isLocked` is false; nothing was changed then.
   */
  apply(current: CurrentState, plan: Plan, isLocked: boolean): void {
    const found = findWorkDirectory(this.root, this.#disk);
    if (plan.changes.length === 0 && isDeepStrictEqual(plan.journal, current.journal)) {
      // Without this a read-only disk fails a run that has nothing to do.
      if (found === undefined || !isUnfinished(this.#recovered, found, plan.journal)) return;
    }
    // The lock is the work directory, so a run that has the lock has the directory.
    if (!isLocked || found === undefined) throw new LockNeeded(this.root);
    const roots = plan.changes.length > 0 ? missingDirectories(this.root, this.#disk) : [];
    const next = { ...plan.journal, roots: [...new Set([...current.journal.roots, ...roots])] };
    const [workDirectory, steps] = this.#makeChanges(found, roots, current, plan, next);
    try {
      for (const step of steps) explainErrorsAt(step.target, () => step.finish());
      explainErrorsAt(workDirectory, () => finishRun(this.#recovered, workDirectory, next));
    } catch (error) {
      throw withOutcome(error, 'the files are changed; run this again to tidy up');
    }
  }

  get #recovered() {
    return { root: this.root, disk: this.#disk };
  }

  /** Makes all changes, or undoes those that it made and throws. */
  #makeChanges(
    found: string,
    roots: readonly string[],
    current: CurrentState,
    plan: Plan,
    next: Journal,
  ): [workDirectory: string, steps: Step[]] {
    const journal = transition(current.journal, next);
    const isFirst = !hasJournal(found, this.#disk);
    let steps: Step[] = [];
    try {
      const workDirectory = this.#prepare(found, roots, journal);
      steps = plan.changes.map((change) => this.#stepOf(change, current, workDirectory));
      stageAll(steps, this.#disk);
      // Staged before the changes, since a full disk must not fail the run behind them.
      if (!isEmpty(next))
        explainErrorsAt(workDirectory, () => stageJournal(workDirectory, next, this.#disk));
      commitAll(steps, this.#disk);
      return [workDirectory, steps];
    } catch (error) {
      if (error instanceof UndoFailed) {
        throw withOutcome(
          error.cause,
          'some files are changed; run this again when that is mended',
        );
      }
      const refusal = refusalOf(error, steps, plan);
      // A refused directory is left out, and the same run tries again with its lock.
      const isOver = refusal === undefined;
      abandonRun(this.#recovered, { steps, journal, isFirst, roots, isOver });
      if (refusal !== undefined) throw refusal;
      const cause = error instanceof StepFailed ? error.cause : error;
      throw withOutcome(cause, 'nothing was changed');
    }
  }

  /** Writes the journal, then makes certs.d where there is none. Returns the work directory. */
  #prepare(found: string, roots: readonly string[], journal: Journal): string {
    explainErrorsAt(found, () => {
      stageJournal(found, journal, this.#disk);
      commitJournal(found, this.#disk);
    });
    for (const path of roots) explainErrorsAt(path, () => makeDirectory(path, 0o755, this.#disk));
    if (!isDirectory(this.root, this.#disk)) return found;
    return explainErrorsAt(this.root, () => moveInside(found, this.root, this.#disk));
  }

  #stepOf(change: DirectoryChange, { kept: allKept }: CurrentState, workDirectory: string): Step {
    const { current, path, desired } = change;
    const [root, disk, kept] = [this.root, this.#disk, allKept.get(path)];
    const parts = { root, change, kept, staging: new Staging(workDirectory, path, disk), disk };
    if (current === undefined) return new AddDirectoryStep(parts);
    return desired.exists ? new FileStep(parts) : new RemoveDirectoryStep(parts);
  }
}

/** The path without links. The part that does not exist yet is appended as it is. */
function resolved(path: string, disk: Disk): string {
  try {
    return disk.realpathSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' || dirname(path) === path) throw explained(error, path);
    return join(resolved(dirname(path), disk), path.slice(dirname(path).length));
  }
}

function readKept(
  workDirectory: string | undefined,
  journal: Journal,
  disk: Disk,
): Map<string, FoundFile> {
  const kept = new Map<string, FoundFile>();
  for (const path of workDirectory === undefined ? [] : Object.keys(journal.files)) {
    const file = join(workDirectory ?? '', keptName(path));
    if (disk.lstatSync(file, { throwIfNoEntry: false })?.isFile()) {
      kept.set(path, readFile(file, disk));
    }
  }
  return kept;
}

/**
 * Whether dockerd reads this certs.d, and a `_default` in it would take something from dockerd: for
 * a registry with several hosts dockerd no longer heeds `insecure-registries` and
 * `registry-mirrors` of its daemon.json (moby, daemon/hosts.go).
 */
function isReadByDocker(root: string, disk: Disk): boolean {
  if (basename(dirname(root)) !== 'docker') return false;
  try {
    const text = disk.readFileSync(join(dirname(root), 'daemon.json'), 'utf8');
    return /"(?:insecure-registries|registry-mirrors)"\s*:\s*\[\s*"/.test(text);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return false;
  }
}
