import type { Plan } from './change.ts';
import { ChangeRefused, isAboutOnePlace } from './change-refused.ts';
import type { Disk } from './disk.ts';
import { explainErrorsAt } from './disk-errors.ts';
import { syncDirectory } from './files.ts';
import type { Step } from './staging.ts';

/** What a failed change replaced could not be put back; the hidden directory still holds it. */
export class UndoFailed extends Error {
  override readonly name = 'UndoFailed';
}

export class StepFailed extends Error {
  override readonly name = 'StepFailed';
  readonly target: string;

  constructor(target: string, cause: unknown) {
    super('', { cause });
    this.target = target;
  }
}

/** The directory whose change failed for a reason of its own. */
export function refusalOf(error: unknown, steps: readonly Step[], { changes }: Plan) {
  if (!(error instanceof StepFailed) || !isAboutOnePlace(error.cause)) return undefined;
  const change = changes[steps.findIndex(({ target }) => target === error.target)];
  return change && new ChangeRefused(change.name, error.target, error.cause);
}

export function ofStep(step: Step, work: () => void): void {
  try {
    explainErrorsAt(step.target, work);
  } catch (error) {
    throw new StepFailed(step.target, error);
  }
}

/** Lays all changes ready, on the disk; changes nothing outside of the hidden directory. */
export function stageAll(steps: readonly Step[], disk: Disk): void {
  for (const step of steps) ofStep(step, () => step.stage());
  syncEach(steps, ({ stagedIn }) => stagedIn, disk);
}

/** Makes all changes, and waits for the disk, or undoes those that were made. */
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
 * When all have changed: what a file system has in its journal by then it writes at the first wait,
 * and the others end at once. A wait behind each change took a disk that turns seconds for 500
 * registries.
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
