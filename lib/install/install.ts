import { existsSync } from 'node:fs';
import { SpegelError } from '../base/errors.ts';
import type { ConfigurationSettings } from '../hosts/desired-state.ts';
import type { Variables } from '../proxy/go-proxy.ts';
import { type BroughtUp, bringUp, type Way } from './bring-up.ts';
import { checkContainerd } from './containerd-check.ts';
import { isRancher } from './distribution.ts';
import { embeddedMirrorFindings } from './embedded-mirror.ts';
import { environmentAdvice } from './environment-advice.ts';
import type { EnvironmentEdit, EnvironmentHead } from './environment-edit.ts';
import { changeFor, type FileChange, type WantedFile } from './files.ts';
import type { FoundContainerd } from './find-containerd.ts';
import { type Finding, isToDo, note } from './finding.ts';
import { checkHost, deadLinkFindings, foreignFindings, peculiarities } from './host-check.ts';
import { keptEnvironment } from './kept-environment.ts';
import {
  CONFIGURATION,
  type Contents,
  ENVIRONMENT_FILE,
  EXECUTABLE,
  type PathsOfUnits,
  SERVICE,
  SERVICE_FILE,
  wantedFiles,
} from './layout.ts';
import { portConflictFindings, settingsOutcome, targetFindings } from './mirror-advice.ts';
import { namedPaths } from './named-paths.ts';
import type { FirstPeers } from './peers-check.ts';
import { type Listener, listensOf, portFindings } from './port-check.ts';
import { proxyAdvice, proxyNote } from './proxy-advice.ts';
import { findProxy, knownOf } from './proxy-check.ts';
import { putInPlace } from './put-in-place.ts';
import { roomFindings } from './room-check.ts';
import { type ServiceWish, serviceFindings } from './service-check.ts';
import { isUp, Systemctl } from './systemctl.ts';
import { tagSourceNote } from './tag-source-note.ts';
import { startedUnit } from './unit-environment.ts';
import { type VersionChange, versionChange } from './version-check.ts';

export interface InstallSettings {
  readonly contents: Contents;
  readonly version: string;
  readonly containerd: FoundContainerd;
  /** containerd's config_path, as the environment file has it. */
  readonly hostsPaths: readonly string[];
  /** Other paths that the services have as settings. */
  readonly setPaths: PathsOfUnits;
  /** What the environment file says of the mirrors in the files there. */
  readonly mirrors: ConfigurationSettings;
  /** What the unit of the settings knew of containerd at its last run; undefined: nothing. */
  readonly recordedContainerd2: boolean | undefined;
  readonly registry: Listener;
  readonly router: Listener;
  readonly metrics: Listener;
  /** Where else the service listens. */
  readonly listeners: readonly Listener[];
  readonly firstPeers: FirstPeers;
  /** Variables of the service's options. */
  readonly names: readonly string[];
  /** Settings that were asked for on the command line. */
  readonly asked: Variables;
  /** Of those, what the command line says, by the bare names. */
  readonly said: Variables;
  readonly environmentHead: EnvironmentHead;
  /** What the environment file sets, with what was asked for in it. */
  readonly installed: Variables;
  /** Where a service with this environment answers about itself; undefined: that is wrong. */
  readonly metricsIn: ServiceWish['metricsIn'];
  /** What is wrong with that. */
  readonly settingFindings: readonly Finding[];
  /** False: enabled, and left to the next boot. */
  readonly start: boolean;
  /** Nothing is written. */
  readonly isCheck: boolean;
}

export interface InstallReport {
  readonly findings: readonly Finding[];
  /** What was done; of a check, what would be. */
  readonly changes: readonly FileChange[];
  /** Settings that were changed in the environment file; of a check, that would be. */
  readonly settings: readonly EnvironmentEdit[];
  readonly version: VersionChange;
  /** What was done about the service; undefined: nothing, or an obstacle prevented it. */
  readonly service: BroughtUp | undefined;
  /** Why the service does not run although everything is in place. */
  readonly problem?: string;
  /** What is to be run on the other hosts of a network whose key was just made. */
  readonly otherHosts?: string | undefined;
  /** What a shell calls for this very release: `spegel` once it is in place. */
  readonly program: string;
}

interface Look {
  readonly findings: Finding[];
  readonly files: readonly WantedFile[];
  readonly changes: readonly FileChange[];
  readonly settings: readonly EnvironmentEdit[];
}

/**
 * Puts executable, units, environment file and completions in place and starts the service, after a look at
 * the host; an obstacle is among the findings then, and nothing was touched. Rejects with SpegelError
 * ERR_INSTALL when a file cannot be put in place; the same call again goes on.
 */
export async function install(settings: InstallSettings, way: Way): Promise<InstallReport> {
  const { isCheck, start, containerd, hostsPaths, mirrors, names, registry } = settings;
  const systemctl = new Systemctl(way.signal);
  way.say('looking at the host');
  const version = await versionChange(settings.version, way.signal);
  const { files, ...look } = await lookAtHost(settings, systemctl, way);
  const { findings, changes } = look;
  const isOther = changes.some(({ path }) => path === EXECUTABLE);
  const program = isOther ? settings.contents.executable : 'spegel';
  if (isCheck) {
    const wish = wishOf(settings, look);
    const running = existsSync(SERVICE_FILE) ? serviceFindings(wish, systemctl, way.signal) : [];
    const all = [...findings, ...(await running)];
    return { ...look, findings: all, version, service: undefined, program };
  }
  if (findings.some(({ kind }) => kind === 'obstacle')) {
    return { findings, changes: [], settings: [], version, service: undefined, program };
  }
  putInPlace(files, changes);
  const left = async () => {
    const outcome = settingsOutcome(hostsPaths, mirrors, containerd, way.signal);
    return (await outcome).findings;
  };
  try {
    const areSettingsFine = async () => !(await left()).some(({ about }) => about === 'hosts');
    const wants = { start, changes, port: registry.port, names, areSettingsFine };
    const service = await bringUp(wants, systemctl, way);
    const after = isUp(await systemctl.state(CONFIGURATION)) ? (await left()).filter(isToDo) : [];
    return { ...look, findings: [...findings, ...after], version, service, program: 'spegel' };
  } catch (error) {
    if (!(error instanceof SpegelError) || way.signal.aborted) throw error;
    const { message: problem } = error;
    return { ...look, version, service: undefined, problem, program: 'spegel' };
  }
}

function wishOf(
  settings: InstallSettings,
  { findings, settings: edits }: Omit<Look, 'files'>,
): ServiceWish {
  const { metrics, router, firstPeers: first } = settings;
  // What is said of a target already is not found out a second time.
  const areTargetsSaid = findings.some(({ about }) => about === 'mirror-targets');
  // Nothing is to be restarted with settings that end the daemon: they are said already.
  const isBroken = findings.some(
    ({ kind, about }) => kind === 'obstacle' && ['settings', 'network-key'].includes(about),
  );
  const names = isBroken ? [] : settings.names;
  const isChanging = edits.length > 0;
  return { ...settings, names, isChanging, areTargetsSaid, peers: { metrics, router, first } };
}

async function lookAtHost(
  settings: InstallSettings,
  systemctl: Systemctl,
  { signal }: Way,
): Promise<Look> {
  const { hostsPaths, mirrors, registry, router, metrics, listeners, installed } = settings;
  const { containerd } = settings;
  const { findings: socketFindings, ...host } = peculiarities(containerd.socket);
  const proxy = await findProxy(containerd.socket, systemctl, signal);
  const kept = keptEnvironment(settings.asked, settings.environmentHead);
  const files = wantedFiles(settings.contents, {
    ...host,
    containerdUnit: containerd.unit,
    hostsPaths,
    namedPaths: await namedPaths(settings, signal),
    proxy: proxyNote(proxy),
  }).map((file) => (file.path === ENVIRONMENT_FILE && kept !== undefined ? kept.file : file));
  const changes = files.flatMap((file) => changeFor(file) ?? []);
  const { active } = await systemctl.state(CONFIGURATION);
  const { pid } = await systemctl.state(SERVICE);
  const owners = { pid, listens: await listensOf(systemctl) };
  const ports = await portFindings(
    [registry, router, metrics, ...listeners],
    owners,
    settings.said,
  );
  const isTaken = ports.some(({ message }) => message.includes(`${registry.option}=`));
  const findings = [
    ...settings.settingFindings,
    ...portConflictFindings(mirrors.targets, registry, { pid, isTaken }),
    ...checkHost(hostsPaths),
    ...deadLinkFindings(ENVIRONMENT_FILE),
    ...ports,
    ...(await checkContainerd(settings, signal)),
    ...(await embeddedFindings(settings, systemctl, pid !== 0)),
    ...socketFindings,
    // The settings that are there are edited, not replaced.
    ...foreignFindings(changes.filter(({ path }) => path !== kept?.file.path)),
    ...roomFindings(files, changes, active === 'active' ? [] : hostsPaths),
    ...targetFindings(mirrors.targets, registry),
    ...hostNotes(host),
    ...environmentAdvice({ ...settings, fresh: settings.contents.environmentFile({}) }),
    ...tagSourceNote(installed, proxy && knownOf(proxy)),
    ...proxyAdvice(proxy, kept === undefined ? undefined : installed),
  ];
  return { findings, files, changes, settings: kept?.edits ?? [] };
}

async function embeddedFindings(
  { containerd, hostsPaths, router }: InstallSettings,
  systemctl: Systemctl,
  isRunning: boolean,
): Promise<Finding[]> {
  if (!isRancher(containerd.distribution)) return [];
  const unit = await startedUnit(containerd.unit, systemctl);
  const { distribution } = containerd;
  return embeddedMirrorFindings({ distribution, hostsPaths, unit, router, isRunning });
}

function hostNotes(host: { readonly hasUserNamespaces: boolean }): Finding[] {
  if (host.hasUserNamespaces) return [];
  const text =
    'this host has no user namespaces (user.max_user_namespaces = 0): the service runs without PrivateUsers=yes, by a drop-in';
  return [note('user-namespaces', text)];
}
