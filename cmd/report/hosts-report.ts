import { isLogged, type LogLevel } from '../../lib/base/log.ts';
import type { HostsOutcome } from '../../lib/hosts/outcome.ts';
import type { Context } from '../process/command.ts';

interface Form {
  readonly json: boolean;
  /** Nothing was written, and the changes are printed in full. */
  readonly isDryRun: boolean;
  /** The directories, as the user gave them. */
  readonly hostsPaths: readonly string[];
  readonly logLevel: LogLevel;
}

/** What was done to a file, in words. */
export const ACTIONS_DONE = {
  add: 'added',
  change: 'changed',
  remove: 'removed',
  restore: 'restored',
};

/**
 * Prints what was done, or would be, on stdout, and what was left alone on stderr. With `json`, all
 * goes to stdout.
 */
export async function reportOutcome(
  outcome: HostsOutcome,
  form: Form,
  context: Context,
): Promise<void> {
  const diffOf = form.isDryRun ? (await import('../../lib/hosts/diff.ts')).diffOf : undefined;
  const { changes, problems, warnings } = outcome;
  if (form.json) {
    const listed = changes.map((change) => {
      const { path, action } = change;
      return { path, action, diff: diffOf?.(change) };
    });
    context.stdout(`${JSON.stringify({ changes: listed, problems, warnings })}\n`);
    return;
  }
  for (const change of changes) {
    context.stdout(diffOf?.(change) ?? `${ACTIONS_DONE[change.action]} ${change.path}\n`);
  }
  if (changes.length === 0) {
    const left = problems.length === 0 ? '' : `; left alone: ${problems.length}`;
    context.stdout(`nothing to do in ${form.hostsPaths.join(' and ')}${left}\n`);
  }
  const lines = [
    ...(isLogged('WARN', form.logLevel) ? problems : []).map(
      ({ path, message }) => `${path}: left alone: ${message}`,
    ),
    ...(isLogged('INFO', form.logLevel) ? warnings : []).map(
      ({ path, message }) => `${path}: note: ${message}`,
    ),
  ];
  for (const line of lines) context.stderr(`spegel: ${line.replaceAll(/\s*\n\s*/g, ' ')}\n`);
}
