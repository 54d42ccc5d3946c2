import { SpegelError } from '../lib/base/errors.ts';
import { type Finding, isToDo } from '../lib/install/finding.ts';
import type { InstallReport } from '../lib/install/install.ts';
import type { Context, ExitStatus } from './command.ts';
import { DONE } from './hosts-report.ts';

interface Form {
  readonly json: boolean;
  /** Nothing was written: changes are those that would be made. */
  readonly isCheck: boolean;
}

const TO_DO = { add: 'would add', change: 'would change', remove: 'would remove' } as const;
const RUNS = {
  started: 'spegel.service runs, and is started at every boot',
  restarted: 'spegel.service runs again',
  enabled: "spegel.service is started at the next boot, or now: 'systemctl start spegel'",
  configured: 'spegel-configuration.service runs again: containerd asks the mirror',
} as const;

/** Says what `spegel install` found and did; `port` is the registry's. */
export function printInstallReport(
  report: InstallReport,
  { json, isCheck, port }: Form & { readonly port: number },
  { stdout, stderr }: Pick<Context, 'stdout' | 'stderr'>,
): void {
  const { findings, changes, service, problem } = report;
  if (json) return void stdout(`${JSON.stringify(report)}\n`);
  for (const finding of findings) stderr(describe(finding));
  for (const { path, action } of changes) stdout(`${(isCheck ? TO_DO : DONE)[action]} ${path}\n`);
  if (findings.some(({ kind }) => kind === 'obstacle')) {
    if (!isCheck) stderr('spegel: nothing was touched\n');
  } else if (service !== undefined) {
    stdout(`${RUNS[service]}\n`);
    if (service !== 'enabled')
      stdout(
        `see that it works: systemctl status spegel; curl -f http://127.0.0.1:${port}/readyz\n`,
      );
  } else if (problem !== undefined) {
    stderr(`spegel: ${problem}\n`);
  } else if (changes.length === 0) {
    stdout(findings.some(isToDo) ? 'in place; see the notes above\n' : 'nothing to do\n');
  }
}

/** One line that says it, and under it, to be copied, what to write or to run. */
function describe({ kind, message, lines }: Finding): string {
  const head = kind === 'obstacle' ? 'cannot install' : 'note';
  const below = lines.map((line) => `${`    ${line}`.trimEnd()}\n`).join('');
  return `spegel: ${head}: ${message}\n${below}`;
}

/** Runs the work of a command whose `--json` promises one object: with an error that is one, too. */
export async function withJsonProblem(
  { json }: Pick<Form, 'json'>,
  { stdout }: Pick<Context, 'stdout'>,
  work: () => Promise<ExitStatus>,
): Promise<ExitStatus> {
  try {
    return await work();
  } catch (error) {
    if (json && error instanceof SpegelError) {
      const { message: problem, code } = error;
      stdout(`${JSON.stringify({ findings: [], changes: [], problem, code })}\n`);
    }
    throw error;
  }
}
