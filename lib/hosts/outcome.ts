import { join } from 'node:path';
import type { CurrentState, DirectoryChange, Plan, Problem } from './transaction/change.ts';

/** One hosts.toml, or directory without one, that was changed or would be. */
export interface HostsTomlChange {
  /** Absolute. */
  readonly path: string;
  readonly action: 'add' | 'change' | 'remove' | 'restore';
  /** Texts of the file; undefined: there is none. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface HostsOutcome {
  readonly changes: readonly HostsTomlChange[];
  /** Files that were left as they are, and why. */
  readonly problems: readonly Problem[];
  /** What was done, and may not bring what was hoped for. */
  readonly warnings: readonly Problem[];
  /** Absolute paths of the files that have our block then. */
  readonly inForce: readonly string[];
}

/** Of a dry run: the files that have our block now, as it is to be. */
export function filesInDesiredState({ changes, inForce }: HostsOutcome): string[] {
  const absent = new Set(changes.map(({ path }) => path));
  return inForce.filter((path) => !absent.has(path));
}

export function joined(...outcomes: readonly HostsOutcome[]): HostsOutcome {
  return {
    changes: outcomes.flatMap(({ changes }) => changes),
    problems: outcomes.flatMap(({ problems }) => problems),
    warnings: outcomes.flatMap(({ warnings }) => warnings),
    inForce: outcomes.flatMap(({ inForce }) => inForce),
  };
}

export function outcomeOf(
  { root }: CurrentState,
  { changes, journal, problems, warnings }: Plan,
): HostsOutcome {
  const left = new Set(problems.map(({ path }) => path));
  const inForce = Object.entries(journal.files)
    .filter(([, { mirrors }]) => mirrors.length > 0)
    .map(([path]) => join(root, path))
    .filter((path) => !left.has(path));
  return {
    changes: changes.map((change) => fileChange(root, change)),
    problems,
    warnings,
    inForce,
  };
}

function fileChange(root: string, { name, path, found, wanted }: DirectoryChange): HostsTomlChange {
  const before = found?.file?.text;
  const after = wanted.file?.text;
  if (before === undefined && after === undefined) {
    const action = wanted.exists ? 'add' : 'remove';
    return { path: join(root, name), action, before, after };
  }
  const action = before === undefined ? 'add' : after === undefined ? 'remove' : 'change';
  return { path: join(root, path), action, before, after };
}
