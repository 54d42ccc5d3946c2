import { join } from 'node:path';
import { SpegelError } from '../base/errors.ts';
import { CertsD } from './certs-d.ts';
import { DISK, type Disk } from './disk.ts';
import { at, explained, withOutcome } from './disk-errors.ts';
import { goBackupOf, mayRestore, restoreGoBackup } from './go-backup.ts';
import { LockNeeded, withLock } from './lock.ts';
import { type ConfigurationSettings, MirrorWishes } from './mirror-wishes.ts';
import {
  administratorsViews,
  type Change,
  type Plan,
  type Problem,
  planChanges,
  type State,
  type Wishes,
} from './plan.ts';

/** One hosts.toml, or directory without one, that was changed or would be. */
export interface FileChange {
  /** Absolute. */
  readonly path: string;
  readonly action: 'add' | 'change' | 'remove' | 'restore';
  /** Texts of the file; undefined: there is none. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface Outcome {
  readonly changes: readonly FileChange[];
  /** Files that were left as they are, and why. */
  readonly problems: readonly Problem[];
  /** What was done, and may not bring what was hoped for. */
  readonly warnings: readonly Problem[];
  /** Absolute paths of the files that have our block then. */
  readonly inForce: readonly string[];
}

export interface RunOptions {
  /** Nothing is written; the outcome is what would be. */
  readonly isDryRun?: boolean;
  /** A dry run that waits for no other run, and may see half of what that does. */
  readonly isGlance?: boolean;
  readonly signal: AbortSignal;
  readonly disk?: Disk;
}

/**
 * Puts the mirrors into the hosts.toml files below `hostsPaths`, containerd's config_path in its order, and takes
 * out what former settings put there. All files are written or none; a file that cannot be joined is left as it
 * is. Rejects with SpegelError ERR_HOSTS.
 */
export async function configureMirrors(
  hostsPaths: readonly string[],
  settings: ConfigurationSettings,
  { signal, isGlance = false, isDryRun = isGlance, disk = DISK }: RunOptions,
): Promise<Outcome> {
  const certsD = new CertsD(hostsPaths[0] ?? '', disk);
  const work = (isLocked: boolean) => {
    if (goBackupOf(certsD.root, disk) === 'certain') {
      throw new SpegelError(
        'ERR_HOSTS',
        `${join(certsD.root, '_backup')}: expected no settings that Go Spegel moved away; run spegel cleanup first, which puts them back`,
      );
    }
    const state = certsD.read();
    const views = administratorsViews(state);
    const wishes = new MirrorWishes(settings, state, views);
    for (const view of wishes.missing()) views.set(view.name, view);
    const plan = planChanges(state, views, wishes);
    if (!isDryRun) certsD.apply(state, plan, isLocked);
    return outcomeOf(state, plan);
  };
  return isGlance ? at(certsD.root, () => work(false)) : locked(certsD, work, { disk, signal });
}

/**
 * Takes everything that is ours, or Go Spegel's, out of the directories. A dry run does not look into what Go
 * Spegel moved away. Rejects with SpegelError ERR_HOSTS.
 */
export async function cleanUpMirrors(
  hostsPaths: readonly string[],
  options: RunOptions,
): Promise<Outcome> {
  const outcomes: Outcome[] = [];
  for (const path of hostsPaths) outcomes.push(await cleanUpRoot(path, options));
  return joined(...outcomes);
}

async function cleanUpRoot(
  path: string,
  { signal, isDryRun = false, disk = DISK }: RunOptions,
): Promise<Outcome> {
  const certsD = new CertsD(path, disk);
  const work = (isLocked: boolean) => {
    const first = takeOut(certsD, isDryRun, isLocked);
    if (isDryRun) return joined(first, foreseen(certsD.root, disk));
    if (!isLocked && mayRestore(certsD.root, disk)) throw new LockNeeded(certsD.root);
    const restored = restoreBackup(certsD.root, disk);
    if (restored.changes.length === 0) return joined(first, restored);
    // Go Spegel moved all away that was there before it: our own files too.
    return joined({ ...first, problems: [] }, restored, takeOut(certsD, false, isLocked));
  };
  return locked(certsD, work, { disk, signal });
}

function locked<T>(
  { root }: CertsD,
  work: (isLocked: boolean) => T,
  way: { readonly disk: Disk; readonly signal: AbortSignal },
): Promise<T> {
  return withLock(root, (isLocked) => at(root, () => work(isLocked)), way);
}

function takeOut(certsD: CertsD, isDryRun: boolean, isLocked: boolean): Outcome {
  const state = certsD.read();
  const plan = planChanges(state, administratorsViews(state), NOTHING);
  if (!isDryRun) certsD.apply(state, plan, isLocked);
  return outcomeOf(state, plan);
}

function foreseen(root: string, disk: Disk): Outcome {
  const path = join(root, '_backup');
  const change = { path, action: 'restore', before: undefined, after: undefined } as const;
  const changes = goBackupOf(root, disk) === 'none' ? [] : [change];
  return { changes, problems: [], warnings: [], inForce: [] };
}

/** Every directory as it would be without us. */
const NOTHING: Wishes = { wish: () => undefined, isConcerned: () => false };

function restoreBackup(root: string, disk: Disk): Outcome {
  try {
    const { restored, removed, doubt, kept } = restoreGoBackup(root, disk);
    const changes = (paths: readonly string[], action: FileChange['action']) =>
      paths.map((path) => ({
        path: join(root, path),
        action,
        before: undefined,
        after: undefined,
      }));
    return {
      changes: [...changes(removed, 'remove'), ...changes(restored, 'restore')],
      problems: kept.map(({ path, why }) => ({ path: join(root, path), message: why })),
      warnings: doubt === undefined ? [] : [{ path: join(root, '_backup'), message: doubt }],
      inForce: [],
    };
  } catch (error) {
    throw withOutcome(explained(error, join(root, '_backup')), 'run this again to go on');
  }
}

function joined(...outcomes: readonly Outcome[]): Outcome {
  return {
    changes: outcomes.flatMap(({ changes }) => changes),
    problems: outcomes.flatMap(({ problems }) => problems),
    warnings: outcomes.flatMap(({ warnings }) => warnings),
    inForce: outcomes.flatMap(({ inForce }) => inForce),
  };
}

function outcomeOf({ root }: State, { changes, journal, problems, warnings }: Plan): Outcome {
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

function fileChange(root: string, { name, path, found, wanted }: Change): FileChange {
  const before = found?.file?.text;
  const after = wanted.file?.text;
  if (before === undefined && after === undefined) {
    const action = wanted.exists ? 'add' : 'remove';
    return { path: join(root, name), action, before, after };
  }
  const action = before === undefined ? 'add' : after === undefined ? 'remove' : 'change';
  return { path: join(root, path), action, before, after };
}
