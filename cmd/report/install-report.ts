import { SpegelError } from '../../lib/base/errors.ts';
import type { VersionChange } from '../../lib/install/checks/version-check.ts';
import type { InstallReport } from '../../lib/install/install.ts';
import type { EnvironmentEdit } from '../../lib/install/settings/environment-edit.ts';
import { calledAs, type Finding, isToDo, printed } from '../../lib/install/system/finding.ts';
import { ENVIRONMENT_FILE, EXECUTABLE } from '../../lib/install/system/layout.ts';
import { quoted } from '../../lib/systemd/environment-syntax.ts';
import type { Context, ExitStatus } from '../process/command.ts';
import { ACTIONS_DONE } from './hosts-report.ts';

interface Form {
  readonly json: boolean;
  /** Nothing was written, and the changes are those that would be made. */
  readonly isCheck: boolean;
}

/** What would be done to a file, in words. */
export const ACTIONS_PLANNED = {
  add: 'would add',
  change: 'would change',
  remove: 'would remove',
  restore: 'would restore',
} as const;
const RUNS = {
  started: 'spegel.service runs, and is started at every boot',
  restarted: 'spegel.service runs again',
  enabled: "spegel.service is started at the next boot, or now: 'systemctl start spegel'",
  'enabled-again': 'spegel.service is enabled again: it is started at every boot',
  configured: 'spegel-configuration.service runs again: containerd asks the mirror',
} as const;

/** Prints what `spegel install` found and did. `port` is the registry's. */
export function printInstallReport(
  report: InstallReport,
  { json, isCheck, port }: Form & { readonly port: number },
  { stdout, stderr }: Pick<Context, 'stdout' | 'stderr'>,
): void {
  const { findings, changes, service, problem, program, otherHosts } = report;
  if (json) {
    const { program: _, ...rest } = report;
    const all = findings.map((finding) => printed(finding, program));
    return void stdout(`${JSON.stringify({ ...rest, findings: all })}\n`);
  }
  for (const finding of findings) stderr(describe(printed(finding, program), isCheck));
  if (changes.some(({ path }) => path === EXECUTABLE)) stdout(versionLine(report.version, isCheck));
  for (const { path, action } of changes)
    stdout(`${(isCheck ? ACTIONS_PLANNED : ACTIONS_DONE)[action]} ${path}\n`);
  for (const edit of report.settings) stdout(`${describeEdit(edit)}\n`);
  if (isCheck) {
    const count = findings.filter(isToDo).length;
    if (count > 0)
      stdout(`${count === 1 ? 'one thing is' : `${count} things are`} to do, see above\n`);
    else if (changes.length === 0) stdout('nothing to do\n');
    else stdout(`'${calledAs(program, 'spegel install')}' does that, with the same flags\n`);
    return;
  }
  if (findings.some(({ kind }) => kind === 'obstacle')) {
    stderr('spegel: nothing was touched\n');
    return;
  }
  if (service !== undefined) {
    stdout(`${RUNS[service]}\n`);
    if (service !== 'enabled')
      stdout(
        `see that it works: systemctl status spegel; curl -f http://127.0.0.1:${port}/readyz\n`,
      );
  } else if (problem !== undefined) {
    stderr(`spegel: ${problem}\n`);
  } else if (changes.length === 0) {
    stdout(findings.some(isToDo) ? 'in place; see above what is left to do\n' : 'nothing to do\n');
  }
  if (otherHosts !== undefined) {
    stdout(`the network has a key; as root on each of its other hosts:\n    ${otherHosts}\n`);
  }
}

const HEADS = { advice: 'to do', note: 'note' } as const;

/**
 * One line with the finding, and below it the lines to write or to run. A check does not say
 * "cannot install".
 */
function describe({ kind, message, lines, since }: Finding, isCheck: boolean): string {
  const obstacle = isCheck ? 'in the way' : 'cannot install';
  const head = kind === 'obstacle' ? obstacle : HEADS[kind];
  const below = lines.map((line) => `${`    ${line}`.trimEnd()}\n`).join('');
  return `spegel: ${head}: ${message}${since === undefined ? '' : ` (since ${since})`}\n${below}`;
}

function describeEdit({ name, from, to }: EnvironmentEdit): string {
  return `${ENVIRONMENT_FILE}: ${name}=${quoted(to)} (${from === undefined ? 'was not set' : `was ${quoted(from)}`})`;
}

function versionLine({ kind, from, to }: VersionChange, isCheck: boolean): string {
  const would = (done: string, doing: string) => (isCheck ? `would ${doing}` : done);
  switch (kind) {
    case 'first':
      return '';
    case 'upgrade':
      return `${would('upgraded', 'upgrade')} from ${from} to ${to}\n`;
    case 'downgrade':
      return `${would('went', 'go')} back from ${from} to ${to}, which is older\n`;
    case 'same':
      return `${would('another', 'put in place another')} build of version ${to}\n`;
    case 'unknown':
      return `${would('changed', 'change')} from ${from ?? 'a version that does not say which it is'} to ${to}\n`;
  }
}

/**
 * Runs the work of a command that promises one JSON object with `--json`: an error is printed as
 * one, too.
 */
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
