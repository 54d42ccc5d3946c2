import { ChangeRefused, isRefusal } from './change-refused.ts';
import { at } from './disk-errors.ts';
import type { Plan } from './plan.ts';
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
  if (!(error instanceof StepFailed) || !isRefusal(error.cause)) return undefined;
  const change = changes[steps.findIndex(({ target }) => target === error.target)];
  return change && new ChangeRefused(change.name, error.target, error.cause);
}

export function ofStep(step: Step, work: () => void): void {
  try {
    at(step.target, work);
  } catch (error) {
    throw new StepFailed(step.target, error);
  }
}

/** Makes all changes, or undoes those that were made. */
export function commitAll(steps: readonly Step[]): void {
  const begun: Step[] = [];
  try {
    for (const step of steps) {
      begun.push(step);
      ofStep(step, () => step.commit());
    }
  } catch (error) {
    const isUndone = begun.toReversed().map(undo);
    const isWhole = !isUndone.includes(false);
    throw isWhole ? error : new UndoFailed('', { cause: (error as StepFailed).cause });
  }
}

function undo(step: Step): boolean {
  try {
    step.undo();
    return true;
  } catch {
    return false;
  }
}
