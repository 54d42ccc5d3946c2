import { join } from 'node:path';
import { administratorsState, hasStuckDefault, refuseChanges } from './administrators-state.ts';
import { goBackupCertainty, mayRestoreGoBackup, restoreGoBackup } from './go-spegel/backup.ts';
import { BACKUP } from './go-spegel/backup-tree.ts';
import { type HostsOutcome, type HostsTomlChange, joined, outcomeOf } from './outcome.ts';
import { type DesiredState, planChanges } from './plan.ts';
import { LeftAlone } from './toml/left-alone.ts';
import { DEFAULT_DIRECTORY } from './toml/registry-name.ts';
import type { CertsD } from './transaction/certs-d.ts';
import type { AdministratorsDirectory, AdministratorsState } from './transaction/change.ts';
import { refuseImpossibleChanges, retryWithoutRefused } from './transaction/change-refused.ts';
import type { Disk } from './transaction/disk.ts';
import { explained, withOutcome } from './transaction/disk-errors.ts';
import { LockNeeded } from './transaction/lock.ts';

export interface CleanUpSettings {
  readonly isDryRun: boolean;
  readonly disk: Disk;
  /** Goes into the journal: directories that the next run has to look into. */
  readonly hostsPaths: readonly string[];
}

/** Removes what is ours, or Go Spegel's, from one directory. Throws as CertsD does. */
export function cleanUp(
  certsD: CertsD,
  isLocked: boolean,
  settings: CleanUpSettings,
): HostsOutcome {
  const { isDryRun, disk } = settings;
  const first = takeOut(certsD, isLocked, settings);
  if (isDryRun) return joined(first, foreseen(certsD.root, disk));
  if (!isLocked && mayRestoreGoBackup(certsD.root, disk)) throw new LockNeeded(certsD.root);
  const restored = restoreBackup(certsD.root, disk);
  if (restored.changes.length === 0) return joined(first, restored);
  // Go Spegel moved everything away that was there before it, our own files too: remove those as
  // well.
  return joined({ ...first, problems: [] }, restored, takeOut(certsD, isLocked, settings));
}

function takeOut(
  certsD: CertsD,
  isLocked: boolean,
  { isDryRun, disk, hostsPaths }: CleanUpSettings,
): HostsOutcome {
  return retryWithoutRefused((refused) => {
    const current = certsD.read();
    const administrators = administratorsState(current);
    refuseChanges(administrators, current, refused);
    const plan = planChanges(current, administrators, nothingOf(administrators), hostsPaths);
    refuseImpossibleChanges(certsD.root, plan, disk);
    if (!isDryRun) certsD.apply(current, plan, isLocked);
    return outcomeOf(current, plan);
  });
}

/** The desired state of a clean-up: every directory as it would be without us. */
function nothingOf(administrators: AdministratorsState): DesiredState {
  const desiredDirectory = ({ isOurDirectory, name }: AdministratorsDirectory) => {
    if (!hasStuckDefault(administrators) || !isOurDirectory || name === DEFAULT_DIRECTORY)
      return undefined;
    throw new LeftAlone(
      `it stays as long as our ${DEFAULT_DIRECTORY}, which may hide another from nerdctl`,
    );
  };
  return { desiredDirectory, isConcerned: () => false };
}

function foreseen(root: string, disk: Disk): HostsOutcome {
  const path = join(root, BACKUP);
  const change = { path, action: 'restore', before: undefined, after: undefined } as const;
  const changes = goBackupCertainty(root, disk) === 'none' ? [] : [change];
  return { changes, problems: [], warnings: [], inForce: [] };
}

function restoreBackup(root: string, disk: Disk): HostsOutcome {
  try {
    const { restored, removed, doubt, kept } = restoreGoBackup(root, disk);
    const changes = (paths: readonly string[], action: HostsTomlChange['action']) =>
      paths.map((path) => ({
        path: join(root, path),
        action,
        before: undefined,
        after: undefined,
      }));
    return {
      changes: [...changes(removed, 'remove'), ...changes(restored, 'restore')],
      problems: kept.map(({ path, why }) => ({ path: join(root, path), message: why })),
      warnings: doubt === undefined ? [] : [{ path: join(root, BACKUP), message: doubt }],
      inForce: [],
    };
  } catch (error) {
    throw withOutcome(explained(error, join(root, BACKUP)), 'run this again to go on');
  }
}
