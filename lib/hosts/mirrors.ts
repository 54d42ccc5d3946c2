import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { SpegelError } from '../base/errors.ts';
import { administratorsState, refuseChanges } from './administrators-state.ts';
import { cleanUp } from './clean-up.ts';
import type { ConfigurationSettings } from './configuration-settings.ts';
import { DesiredMirrors } from './desired-state.ts';
import { goBackupCertainty } from './go-spegel/backup.ts';
import { BACKUP } from './go-spegel/backup-tree.ts';
import { HostsDirectories, unreadOf } from './hosts-directories.ts';
import { type HostsOutcome, outcomeOf } from './outcome.ts';
import { planChanges } from './plan.ts';
import { type CertsDState, SearchPath, type UnreadableDirectory } from './search-path.ts';
import { CertsD } from './transaction/certs-d.ts';
import type { Plan } from './transaction/change.ts';
import { refuseImpossibleChanges, retryWithoutRefused } from './transaction/change-refused.ts';
import { DISK, type Disk } from './transaction/disk.ts';
import { explainErrorsAt } from './transaction/disk-errors.ts';
import { withLock } from './transaction/lock.ts';
import type { Obstacle } from './transaction/read-tree.ts';

export { filesInDesiredState, type HostsOutcome, type HostsTomlChange } from './outcome.ts';

export interface RunOptions {
  /** Writes nothing; the outcome tells what a run would do. */
  readonly isDryRun?: boolean;
  /**
   * A dry run without the lock. It does not wait for another run, and may see that run half done.
   */
  readonly isGlance?: boolean;
  readonly signal: AbortSignal;
  readonly disk?: Disk;
  /** Directories that earlier settings may have listed, beside those that the journal names. */
  readonly formerPaths?: readonly string[];
  /** Where nerdctl looks. */
  readonly nerdctlPaths?: readonly string[];
}

/**
 * Brings the hosts.toml files below `hostsPaths` (containerd's config_path, in its order) to the
 * desired state, and removes what former settings put there or into directories that are no longer
 * listed. In each directory all files are written or none. A file that our block cannot join stays
 * as it is, and so does a directory that cannot be read or written. Rejects with SpegelError
 * ERR_HOSTS when nothing could be done in any of them.
 */
export async function configureMirrors(
  hostsPaths: readonly string[],
  settings: ConfigurationSettings,
  options: RunOptions,
): Promise<HostsOutcome> {
  const { isGlance = false, disk = DISK, formerPaths = [], signal } = options;
  const { isDryRun = isGlance } = options;
  const directories = new HostsDirectories(hostsPaths, disk, options.nerdctlPaths);
  const context = { isDryRun, isGlance, disk, signal };
  const former = await directories.inTurn(directories.former(formerPaths), (certsD) => {
    return cleanedUp(certsD, { ...context, hostsPaths: [] });
  });
  const known = directories.listWith(former.failed);
  // From the last to the first: the new directory is there before the one that it replaces goes.
  const { outcome } = await directories.inTurn(directories.listed.toReversed(), (certsD) => {
    return configured(certsD, directories, settings, { ...context, hostsPaths: known });
  });
  return directories.outcome(former.outcome, outcome);
}

/**
 * Removes everything that is ours, or Go Spegel's, from the directories and from those that the
 * last configuration listed. A dry run does not look into what Go Spegel moved away. Rejects with
 * SpegelError ERR_HOSTS when nothing could be done in any of them.
 */
export async function cleanUpMirrors(
  hostsPaths: readonly string[],
  { isDryRun = false, disk = DISK, formerPaths = [], signal }: RunOptions,
): Promise<HostsOutcome> {
  const directories = new HostsDirectories(hostsPaths, disk);
  const context = { isDryRun, disk, signal };
  const former = await directories.inTurn(directories.former(formerPaths), (certsD) => {
    return cleanedUp(certsD, { ...context, hostsPaths: [] });
  });
  const known = former.failed.length === 0 ? [] : directories.listWith(former.failed);
  const { outcome } = await directories.inTurn(directories.listed, (certsD) => {
    return cleanedUp(certsD, { ...context, hostsPaths: known });
  });
  return directories.outcome(former.outcome, outcome);
}

interface RunContext {
  readonly isDryRun: boolean;
  readonly isGlance?: boolean;
  readonly disk: Disk;
  readonly signal: AbortSignal;
  /** Goes into the journal: directories that the next run has to look into. */
  readonly hostsPaths: readonly string[];
}

function cleanedUp(certsD: CertsD, context: RunContext): Promise<HostsOutcome> {
  return locked(certsD, (isLocked) => cleanUp(certsD, isLocked, context), context);
}

async function configured(
  certsD: CertsD,
  directories: HostsDirectories,
  settings: ConfigurationSettings,
  context: RunContext,
): Promise<HostsOutcome> {
  let journalOnly: HostsOutcome | undefined;
  const attempt = (isLocked: boolean, refused: ReadonlyMap<string, Obstacle>) => {
    const [state, searchPath] = readStates(certsD, directories);
    const { current, administrators } = state;
    refuseChanges(administrators, current, refused);
    const desiredState = new DesiredMirrors(settings, state, searchPath);
    for (const directory of desiredState.missing()) administrators.set(directory.name, directory);
    const plan = planChanges(current, administrators, desiredState, context.hostsPaths);
    const outcome = outcomeOf(current, plan);
    journalOnly = isJournalOnly(plan, current.journal) ? outcome : undefined;
    refuseImpossibleChanges(certsD.root, plan, context.disk);
    if (!context.isDryRun) certsD.apply(current, plan, isLocked);
    return outcome;
  };
  const work = (isLocked: boolean) => {
    refuseGoBackup(certsD.root, context.disk);
    return retryWithoutRefused((refused) => attempt(isLocked, refused));
  };
  try {
    return await locked(certsD, work, context);
  } catch (error) {
    // Only the list of the other directories could not be written to the journal; no file depends
    // on it now.
    if (journalOnly === undefined || !(error instanceof SpegelError)) throw error;
    return journalOnly;
  }
}

function isJournalOnly({ changes, journal }: Plan, before: Plan['journal']): boolean {
  const { hostsPaths } = before;
  const isSame = isDeepStrictEqual({ ...journal, hostsPaths }, before);
  return changes.length === 0 && isSame && !isDeepStrictEqual(journal, before);
}

/** Reads the own directory and all in which containerd and nerdctl look. */
function readStates(own: CertsD, { searched }: HostsDirectories): [CertsDState, SearchPath] {
  const state = readState(own);
  const states = new Map<CertsD, CertsDState | UnreadableDirectory | undefined>([[own, state]]);
  const stateOf = (certsD: CertsD | UnreadableDirectory) => {
    if (!(certsD instanceof CertsD)) return certsD;
    if (!states.has(certsD)) states.set(certsD, readable(certsD));
    return states.get(certsD) ?? [];
  };
  const path = new SearchPath(searched.listed.flatMap(stateOf), searched.nerdctl.flatMap(stateOf));
  return [state, path];
}

function readable(certsD: CertsD): CertsDState | UnreadableDirectory | undefined {
  try {
    return readState(certsD);
  } catch (error) {
    return unreadOf(certsD.root, error);
  }
}

function readState(certsD: CertsD): CertsDState {
  const current = certsD.read();
  return { current, administrators: administratorsState(current) };
}

function refuseGoBackup(root: string, disk: Disk): void {
  if (goBackupCertainty(root, disk) !== 'certain') return;
  throw new SpegelError(
    'ERR_HOSTS',
    `${join(root, BACKUP)}: expected no settings that Go Spegel moved away; run spegel cleanup first, which puts them back`,
  );
}

async function locked<T>(
  { root }: CertsD,
  work: (isLocked: boolean) => T,
  context: Pick<RunContext, 'isGlance' | 'disk' | 'signal'>,
): Promise<T> {
  if (context.isGlance) return explainErrorsAt(root, () => work(false));
  return withLock(root, (isLocked) => explainErrorsAt(root, () => work(isLocked)), context);
}
