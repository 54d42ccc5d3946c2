import type { Plan } from './change.ts';
import { ChangeRefused, isAboutOnePlace } from './change-refused.ts';
import type { Disk } from './disk.ts';
import { explainErrorsAt } from './disk-errors.ts';
import { syncDirectory } from './files.ts';
import type { Step } from './staging.ts';

/** A step could not be undone. The work directory still holds what the step replaced. */
export class UndoFailed extends Error {
  override readonly name = 'UndoFailed';
}

/** A step failed; the cause is the explained error. Its `target` tells which step. */
export class StepFailed extends Error {
  override readonly name = 'StepFailed';
  readonly target: string;

  constructor(target: string, cause: unknown) {
    super('', { cause });
    this.target = target;
  }
}

/**
 * The refusal of the directory that made a step fail for a reason of its own; undefined: another
 * reason.
 */
export function refusalOf(error: unknown, steps: readonly Step[], { changes }: Plan) {
  if (!(error instanceof StepFailed) || !isAboutOnePlace(error.cause)) return undefined;
  const change = changes[steps.findIndex(({ target }) => target === error.target)];
  return change && new ChangeRefused(change.name, error.target, error.cause);
}

/** Does work of a step. An error becomes StepFailed. */
function ofStep(step: Step, work: () => void): void {
  try {
    explainErrorsAt(step.target, work);
  } catch (error) {
    throw new StepFailed(step.target, error);
  }
}

/** Prepares all changes and waits for the disk; changes nothing outside of the work directory. */
export function stageAll(steps: readonly Step[], disk: Disk): void {
  for (const step of steps) ofStep(step, () => step.stage());
  syncEach(steps, ({ stagedIn }) => stagedIn, disk);
}

/** Makes all changes and waits for the disk, or undoes those that were made and throws. */
export function commitAll(steps: readonly Step[], disk: Disk): void {
  const begun: Step[] = [];
  try {
    for (const step of steps) {
      begun.push(step);
      ofStep(step, () => step.commit());
    }
    syncEach(steps, ({ changedIn }) => changedIn, disk);
  } catch (error) {
    const isUndone = begun.toReversed().map(undo);
    const isWhole = !isUndone.includes(false);
    throw isWhole ? error : new UndoFailed('', { cause: (error as StepFailed).cause });
  }
}

/**
 * Waits for the disk once for each directory, after all changes. The first wait writes the whole
 * journal of the file system and the others end at once. A wait behind each change took a disk that
 * turns seconds for 500 registries.
 */
function syncEach(steps: readonly Step[], directoryOf: (step: Step) => string, disk: Disk): void {
  const byDirectory = new Map(steps.map((step) => [directoryOf(step), step]));
  for (const [path, step] of byDirectory) ofStep(step, () => syncDirectory(path, disk));
}

function undo(step: Step): boolean {
  try {
    step.undo();
    return true;
  } catch {
    return false;
  }
}
