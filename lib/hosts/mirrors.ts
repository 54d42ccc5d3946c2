import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { SpegelError } from '../base/errors.ts';
import { cleanUp } from './clean-up.ts';
import { type ConfigurationSettings, DesiredMirrors } from './desired-state.ts';
import { goBackupCertainty } from './go-spegel/backup.ts';
import { HostsDirectories, unreadOf } from './hosts-directories.ts';
import { type HostsOutcome, outcomeOf } from './outcome.ts';
import { administratorsState, planChanges, refuseChanges } from './plan.ts';
import { type CertsDState, SearchPath, type UnreadableDirectory } from './search-path.ts';
import { CertsD } from './transaction/certs-d.ts';
import type { Plan } from './transaction/change.ts';
import { retryWithoutRefused } from './transaction/change-refused.ts';
import { DISK, type Disk } from './transaction/disk.ts';
import { explainErrorsAt } from './transaction/disk-errors.ts';
import { refuseImpossibleChanges } from './transaction/impossible-changes.ts';
import { withLock } from './transaction/lock.ts';
import type { Obstacle } from './transaction/read-tree.ts';

export { filesInDesiredState, type HostsOutcome, type HostsTomlChange } from './outcome.ts';

export interface RunOptions {
  /** Nothing is written; the outcome is what would be. */
  readonly isDryRun?: boolean;
  /** A dry run that waits for no other run, and may see half of what that does. */
  readonly isGlance?: boolean;
  readonly signal: AbortSignal;
  readonly disk?: Disk;
  /** Directories that may have been listed before; those of the last run are known already. */
  readonly formerPaths?: readonly string[];
  /** Where nerdctl looks. */
  readonly nerdctlPaths?: readonly string[];
}

/**
 * Puts the mirrors into the hosts.toml files below `hostsPaths`, containerd's config_path in its
 * order, and takes out what former settings put there, or into a directory that is not listed any
 * more. In each directory all files are written or none; a file that cannot be joined is left as it
 * is, and so is a directory that cannot be read or written. Rejects with SpegelError ERR_HOSTS when
 * nothing could be done in any of them.
 */
export async function configureMirrors(
  hostsPaths: readonly string[],
  settings: ConfigurationSettings,
  options: RunOptions,
): Promise<HostsOutcome> {
  const { isGlance = false, disk = DISK, formerPaths = [], signal } = options;
  const { isDryRun = isGlance } = options;
  const directories = new HostsDirectories(hostsPaths, disk, options.nerdctlPaths);
  const way = { isDryRun, isGlance, disk, signal };
  const former = await directories.inTurn(directories.former(formerPaths), (certsD) => {
    return cleanedUp(certsD, { ...way, hostsPaths: [] });
  });
  const known = directories.listWith(former.failed);
  // The last first: what takes over is there before what it replaces goes.
  const { outcome } = await directories.inTurn(directories.listed.toReversed(), (certsD) => {
    return configured(certsD, directories, settings, { ...way, hostsPaths: known });
  });
  return directories.outcome(former.outcome, outcome);
}

/**
 * Takes everything that is ours, or Go Spegel's, out of the directories, and out of those that the
 * last configuration had listed. A dry run does not look into what Go Spegel moved away. Rejects
 * with SpegelError ERR_HOSTS when nothing could be done in any of them.
 */
export async function cleanUpMirrors(
  hostsPaths: readonly string[],
  { isDryRun = false, disk = DISK, formerPaths = [], signal }: RunOptions,
): Promise<HostsOutcome> {
  const directories = new HostsDirectories(hostsPaths, disk);
  const way = { isDryRun, disk, signal };
  const former = await directories.inTurn(directories.former(formerPaths), (certsD) => {
    return cleanedUp(certsD, { ...way, hostsPaths: [] });
  });
  const known = former.failed.length === 0 ? [] : directories.listWith(former.failed);
  const { outcome } = await directories.inTurn(directories.listed, (certsD) => {
    return cleanedUp(certsD, { ...way, hostsPaths: known });
  });
  return directories.outcome(former.outcome, outcome);
}

interface Way {
  readonly isDryRun: boolean;
  readonly isGlance?: boolean;
  readonly disk: Disk;
  readonly signal: AbortSignal;
  /** For the journal: where the next run has to look. */
  readonly hostsPaths: readonly string[];
}

function cleanedUp(certsD: CertsD, way: Way): Promise<HostsOutcome> {
  return locked(certsD, (isLocked) => cleanUp(certsD, isLocked, way), way);
}

async function configured(
  certsD: CertsD,
  directories: HostsDirectories,
  settings: ConfigurationSettings,
  way: Way,
): Promise<HostsOutcome> {
  let noteAlone: HostsOutcome | undefined;
  const attempt = (isLocked: boolean, refused: ReadonlyMap<string, Obstacle>) => {
    const [place, searchPath] = placesOf(certsD, directories);
    const { state, views } = place;
    refuseChanges(views, state, refused);
    const wishes = new DesiredMirrors(settings, place, searchPath);
    for (const view of wishes.missing()) views.set(view.name, view);
    const plan = planChanges(state, views, wishes, way.hostsPaths);
    const outcome = outcomeOf(state, plan);
    noteAlone = isOnlyNote(plan, state.journal) ? outcome : undefined;
    refuseImpossibleChanges(certsD.root, plan, way.disk);
    if (!way.isDryRun) certsD.apply(state, plan, isLocked);
    return outcome;
  };
  const work = (isLocked: boolean) => {
    refuseGoBackup(certsD.root, way.disk);
    return retryWithoutRefused((refused) => attempt(isLocked, refused));
  };
  try {
    return await locked(certsD, work, way);
  } catch (error) {
    // That the others are written down here, too, is of use later; nothing depends on it now.
    if (noteAlone === undefined || !(error instanceof SpegelError)) throw error;
    return noteAlone;
  }
}

function isOnlyNote({ changes, journal }: Plan, before: Plan['journal']): boolean {
  const { hostsPaths } = before;
  const isSame = isDeepStrictEqual({ ...journal, hostsPaths }, before);
  return changes.length === 0 && isSame && !isDeepStrictEqual(journal, before);
}

/** What each directory holds now. */
function placesOf(own: CertsD, { sought }: HostsDirectories): [CertsDState, SearchPath] {
  const place = placeOf(own);
  const places = new Map<CertsD, CertsDState | UnreadableDirectory | undefined>([[own, place]]);
  const placed = (certsD: CertsD | UnreadableDirectory) => {
    if (!(certsD instanceof CertsD)) return certsD;
    if (!places.has(certsD)) places.set(certsD, readable(certsD));
    return places.get(certsD) ?? [];
  };
  const path = new SearchPath(sought.listed.flatMap(placed), sought.nerdctl.flatMap(placed));
  return [place, path];
}

function readable(certsD: CertsD): CertsDState | UnreadableDirectory | undefined {
  try {
    return placeOf(certsD);
  } catch (error) {
    return unreadOf(certsD.root, error);
  }
}

function placeOf(certsD: CertsD): CertsDState {
  const state = certsD.read();
  return { state, views: administratorsState(state) };
}

function refuseGoBackup(root: string, disk: Disk): void {
  if (goBackupCertainty(root, disk) !== 'certain') return;
  throw new SpegelError(
    'ERR_HOSTS',
    `${join(root, '_backup')}: expected no settings that Go Spegel moved away; run spegel cleanup first, which puts them back`,
  );
}

async function locked<T>(
  { root }: CertsD,
  work: (isLocked: boolean) => T,
  way: Pick<Way, 'isGlance' | 'disk' | 'signal'>,
): Promise<T> {
  if (way.isGlance) return explainErrorsAt(root, () => work(false));
  return withLock(root, (isLocked) => explainErrorsAt(root, () => work(isLocked)), way);
}
