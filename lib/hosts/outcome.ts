import { join } from 'node:path';
import type { CurrentState, DirectoryChange, Plan, Problem } from './transaction/change.ts';

/** A hosts.toml, or a directory without one, that was changed or would be. */
export interface HostsTomlChange {
  /** Absolute. */
  readonly path: string;
  readonly action: 'add' | 'change' | 'remove' | 'restore';
  /** Text of the file before and after; undefined: there is no file. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface HostsOutcome {
  readonly changes: readonly HostsTomlChange[];
  /** Files that stay as they are, and why. */
  readonly problems: readonly Problem[];
  /** Files that were changed, and why containerd may not read them all the same. */
  readonly warnings: readonly Problem[];
  /** Absolute paths of the files that have our block after the run. */
  readonly inForce: readonly string[];
}

/** From the outcome of a dry run, the files with a block that is in the desired state already. */
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

function fileChange(
  root: string,
  { name, path, current, desired }: DirectoryChange,
): HostsTomlChange {
  const before = current?.file?.text;
  const after = desired.file?.text;
  if (before === undefined && after === undefined) {
    const action = desired.exists ? 'add' : 'remove';
    return { path: join(root, name), action, before, after };
  }
  const action = before === undefined ? 'add' : after === undefined ? 'remove' : 'change';
  return { path: join(root, path), action, before, after };
}
