import { existsSync, lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { SpegelError } from '../base/errors.ts';
import { cleanUpMirrors } from '../hosts/mirrors.ts';
import { isOurUnit } from './checks/host-check.ts';
import { STOP_TIMEOUT_MS } from './constants.ts';
import type { InstallContext } from './start-service.ts';
import {
  applyInstallFile,
  changeFor,
  type InstallFile,
  type InstallFileChange,
  removeDirectoryIfEmpty,
  withPathInErrors,
} from './system/files.ts';
import {
  CONFIGURATION_UNIT,
  CONTAINERD_DIRECTORY,
  DATA_DIRECTORIES,
  EXECUTABLE,
  filesToRemove,
  NETWORK_KEY_FILE,
  OWN_DIRECTORIES,
  SERVICE_UNIT,
  SETTINGS_PATH_UNIT,
  SETTINGS_UNIT,
  SOCKET_UNIT,
  UNIT_FILES,
  WANTS_LINK,
} from './system/layout.ts';
import { Systemctl, type UnitState } from './system/systemctl.ts';

/** What a purge removes in addition. */
const SECRETS = [NETWORK_KEY_FILE, ...DATA_DIRECTORIES];
const KEPT_KEY = `the key of its network, by which the next install closes it again; 'rm ${NETWORK_KEY_FILE}' removes it`;

export interface UninstallSettings {
  /**
   * Every directory that may have hosts.toml files with the mirror: the setting may have been
   * another one before.
   */
  readonly hostsPaths: readonly string[];
  /** Whether the identity of this host and the network's key are removed, too. */
  readonly purge: boolean;
  readonly hasSystemd: boolean;
  /** True: nothing is touched, and the report says what would be done. */
  readonly isDryRun?: boolean;
}

export interface UninstallReport {
  readonly changes: readonly InstallFileChange[];
  /** Paths that stay, and why. */
  readonly kept: readonly { readonly path: string; readonly why: string }[];
  /** Files of containerd's from which the mirror could not be removed. */
  readonly problems: readonly { readonly path: string; readonly message: string }[];
}

/**
 * Removes what `install` wrote, the mirror settings first: no pull asks a mirror that is gone. If a
 * setting cannot be removed, the service keeps running, because containerd still asks it. The
 * executable goes last, so that the same call can finish after an interruption. Rejects with
 * SpegelError.
 */
export async function uninstall(
  settings: UninstallSettings,
  context: InstallContext,
): Promise<UninstallReport> {
  const systemctl = new Systemctl(context.signal);
  refuseForeignUnits();
  if (settings.isDryRun === true) return plannedUninstall(settings, context);
  const first = await cleanUpMirrors(settings.hostsPaths, context);
  if (first.problems.length > 0) {
    return { changes: first.changes.map(fileChange), kept: [], problems: first.problems };
  }
  if (settings.hasSystemd) await stop(systemctl, context);
  // A service that was restarted meanwhile has written the mirror settings again.
  const second = await cleanUpMirrors(settings.hostsPaths, context);
  const restored = [...first.changes, ...second.changes];
  const { true: executable = [], false: others = [] } = Object.groupBy(
    filesToRemove(),
    ({ path }) => `${path === EXECUTABLE}` as const,
  );
  const removed = removeFiles(others);
  const data = settings.purge ? purge() : [];
  const left = OWN_DIRECTORIES.flatMap((path) => removeDirectoryIfEmpty(path));
  removeDirectoryIfEmpty(CONTAINERD_DIRECTORY);
  if (settings.hasSystemd && removed.length > 0) await clearFailedState(systemctl);
  removed.push(...removeFiles(executable));
  return {
    changes: [...restored.map(fileChange), ...removed, ...data],
    kept: keptPaths(left, settings),
    problems: second.problems,
  };
}

/**
 * What `uninstall` would do. If a mirror setting cannot be removed it would only remove the others.
 */
async function plannedUninstall(
  settings: UninstallSettings,
  context: InstallContext,
): Promise<UninstallReport> {
  const { changes, problems } = await cleanUpMirrors(settings.hostsPaths, {
    ...context,
    isDryRun: true,
  });
  const restored = changes.map(fileChange);
  if (problems.length > 0) return { changes: restored, kept: [], problems };
  const removed = filesToRemove()
    // systemd removes the link itself.
    .filter(({ path }) => !settings.hasSystemd || path !== WANTS_LINK)
    .flatMap((file) => changeFor(file) ?? []);
  const data = settings.purge ? SECRETS.filter(isThere) : [];
  const gone = new Set<string>([...removed.map(({ path }) => path), ...data]);
  const left = OWN_DIRECTORIES.flatMap((path) => namesIn(path).filter((name) => !gone.has(name)));
  return {
    changes: [
      ...restored,
      ...removed,
      ...data.map((path) => ({ path, action: 'remove' }) as const),
    ],
    kept: keptPaths(left, settings),
    problems: [],
  };
}

function namesIn(directory: string): string[] {
  if (lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  return withPathInErrors(directory, () =>
    readdirSync(directory).map((name) => join(directory, name)),
  );
}

function keptPaths(left: readonly string[], { purge }: UninstallSettings): UninstallReport['kept'] {
  const kept = left.map((path) => ({
    path,
    why: path === NETWORK_KEY_FILE ? KEPT_KEY : 'it was not put there by install',
  }));
  return [...kept, ...(purge ? [] : keptIdentity())];
}

function removeFiles(files: readonly InstallFile[]): InstallFileChange[] {
  const changes = files.flatMap((file) => changeFor(file) ?? []);
  const paths = new Set(changes.map(({ path }) => path));
  for (const file of files) if (paths.has(file.path)) applyInstallFile(file);
  return changes;
}

/**
 * Throws SpegelError ERR_INSTALL for a unit of another origin: neither that nor the executable that
 * it runs is ours to remove.
 */
function refuseForeignUnits(): void {
  for (const path of UNIT_FILES) {
    if (!existsSync(path) || isOurUnit(path)) continue;
    throw new SpegelError(
      'ERR_INSTALL',
      `expected the unit of 'spegel install' at ${path}, got another, and touched nothing; disable and remove that one first`,
    );
  }
}

async function stop(systemctl: Systemctl, { say }: InstallContext): Promise<void> {
  for (const unit of [
    SETTINGS_PATH_UNIT,
    SETTINGS_UNIT,
    CONFIGURATION_UNIT,
    SERVICE_UNIT,
    SOCKET_UNIT,
  ]) {
    const { load, active } = await systemctl.state(unit);
    if (load === 'not-found' && active === 'inactive') continue;
    if (unit === SERVICE_UNIT && load !== 'not-found')
      await systemctl.call('disable', '--quiet', unit);
    if (active === 'inactive') continue;
    await systemctl.call('stop', '--no-block', unit);
    const isOver = ({ active: now }: UnitState) => ['inactive', 'failed'].includes(now);
    const state = await systemctl.until(unit, isOver, { timeoutMs: STOP_TIMEOUT_MS, say });
    if (isOver(state)) continue;
    const text = `expected ${unit} to stop within ${STOP_TIMEOUT_MS / 1_000} s, got ${state.active}`;
    throw new SpegelError('ERR_INSTALL', `${text}; no file was removed, run this again`);
  }
}

/** Clears what systemd remembers of units without files. */
async function clearFailedState(systemctl: Systemctl): Promise<void> {
  await systemctl.call('daemon-reload');
  for (const unit of [
    SERVICE_UNIT,
    CONFIGURATION_UNIT,
    SOCKET_UNIT,
    SETTINGS_PATH_UNIT,
    SETTINGS_UNIT,
  ]) {
    // The unit is not loaded any more, as it should be.
    await systemctl.call('reset-failed', unit).catch(() => {});
  }
}

/** A change of a hosts.toml file without the texts that a dry run shows. */
function fileChange({ path, action }: InstallFileChange): InstallFileChange {
  return { path, action };
}

function purge(): InstallFileChange[] {
  return SECRETS.filter(isThere).map((path) => {
    withPathInErrors(path, () => rmSync(path, { recursive: true, force: true }));
    return { path, action: 'remove' };
  });
}

/** The two paths are one directory; the second is the one that people know. */
function keptIdentity() {
  const there = DATA_DIRECTORIES.filter(isThere);
  const why = `the identity of this host; 'rm -r ${there.join(' ')}' removes it`;
  return there.slice(-1).map((path) => ({ path, why }));
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
