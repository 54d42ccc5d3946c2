import { existsSync } from 'node:fs';
import { SpegelError } from '../base/errors.ts';
import type { ConfigurationSettings } from '../hosts/desired-state.ts';
import type { Variables } from '../proxy/go-proxy.ts';
import { applyFiles } from './apply-files.ts';
import { diskFindings } from './checks/disk-check.ts';
import {
  checkHost,
  deadLinkFindings,
  foreignFindings,
  unitAdjustments,
} from './checks/host-check.ts';
import { portConflictFindings, settingsOutcome, targetFindings } from './checks/mirror-check.ts';
import type { FirstPeers } from './checks/peers-check.ts';
import { listensOf, portFindings } from './checks/port-check.ts';
import { type DesiredService, serviceFindings } from './checks/service-check.ts';
import { type VersionChange, versionChange } from './checks/version-check.ts';
import { checkContainerd } from './containerd/containerd-check.ts';
import { embeddedMirrorFindings } from './containerd/embedded-mirror.ts';
import type { FoundContainerd } from './containerd/find-containerd.ts';
import { findProxy, knownProxy } from './containerd/find-proxy.ts';
import { proxyAdvice, proxyNote } from './containerd/proxy-findings.ts';
import type { EnvironmentEdit, EnvironmentHead } from './settings/environment-edit.ts';
import { environmentAdvice } from './settings/environment-findings.ts';
import { keptEnvironment } from './settings/kept-environment.ts';
import { tagSourceNote } from './settings/tag-source-findings.ts';
import { type InstallContext, type ServiceAction, startService } from './start-service.ts';
import { isRancher } from './system/distribution.ts';
import { changeFor, type InstallFile, type InstallFileChange } from './system/files.ts';
import { type Finding, isToDo, note } from './system/finding.ts';
import {
  CONFIGURATION_UNIT,
  ENVIRONMENT_FILE,
  EXECUTABLE,
  type InstallContents,
  installFiles,
  type PathsByUnit,
  SERVICE_FILE,
  SERVICE_UNIT,
} from './system/layout.ts';
import { servicePaths } from './system/service-paths.ts';
import type { Listener } from './system/socket-unit.ts';
import { isUp, Systemctl } from './system/systemctl.ts';
import { startedUnit } from './system/unit-environment.ts';

export interface InstallSettings {
  readonly contents: InstallContents;
  readonly version: string;
  readonly containerd: FoundContainerd;
  /** containerd's config_path, as the environment file has it. */
  readonly hostsPaths: readonly string[];
  /** Other paths that the settings of the services name. */
  readonly pathsInSettings: PathsByUnit;
  /** The mirror settings of the environment file. */
  readonly mirrors: ConfigurationSettings;
  /** What the configuration unit learned of containerd in its last run; undefined: nothing. */
  readonly recordedContainerd2: boolean | undefined;
  readonly registry: Listener;
  readonly router: Listener;
  readonly metrics: Listener;
  /** Further addresses on which the service listens. */
  readonly otherListeners: readonly Listener[];
  readonly firstPeers: FirstPeers;
  /** The variables of the service's options. */
  readonly optionVariables: readonly string[];
  /** Settings that this call writes to the environment file. */
  readonly settingsToWrite: Variables;
  /** Those of them that the command line names, by the bare names. */
  readonly flagSettings: Variables;
  readonly environmentHead: EnvironmentHead;
  /** The settings of the environment file after this call. */
  readonly resultingSettings: Variables;
  /** Where a service with this environment serves its metrics; undefined: the value is wrong. */
  readonly metricsIn: DesiredService['metricsIn'];
  /** What is wrong with the settings. */
  readonly settingFindings: readonly Finding[];
  /** False: the service is enabled, and starts at the next boot. */
  readonly start: boolean;
  /** True: nothing is written. */
  readonly isCheck: boolean;
}

export interface InstallReport {
  readonly findings: readonly Finding[];
  /** What was done; for a check, what would be done. */
  readonly changes: readonly InstallFileChange[];
  /** Settings that were changed in the environment file; for a check, that would be changed. */
  readonly settings: readonly EnvironmentEdit[];
  readonly version: VersionChange;
  /** What was done about the service; undefined: nothing, or an obstacle prevented it. */
  readonly service: ServiceAction | undefined;
  /** Why the service does not run although every file is in place. */
  readonly problem?: string;
  /** The command for the other hosts of a network that got its key in this call. */
  readonly otherHosts?: string | undefined;
  /** How a shell calls this release: `spegel`, once it is installed. */
  readonly program: string;
}

interface Look {
  readonly findings: Finding[];
  readonly files: readonly InstallFile[];
  readonly changes: readonly InstallFileChange[];
  readonly settings: readonly EnvironmentEdit[];
}

/**
 * Checks the host, then writes the executable, units, environment file and completions, and starts
 * the service. With an obstacle among the findings nothing is touched. Rejects with SpegelError
 * ERR_INSTALL when a file cannot be written; the same call again goes on from there.
 */
export async function install(
  settings: InstallSettings,
  way: InstallContext,
): Promise<InstallReport> {
  const { isCheck, start, containerd, hostsPaths, mirrors, optionVariables, registry } = settings;
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
  applyFiles(files, changes);
  const left = async () => {
    const outcome = settingsOutcome(hostsPaths, mirrors, containerd, way.signal);
    return (await outcome).findings;
  };
  try {
    const areSettingsFine = async () => !(await left()).some(({ about }) => about === 'hosts');
    const { port } = registry;
    const wants = { start, changes, port, optionVariables, areSettingsFine };
    const service = await startService(wants, systemctl, way);
    const after = isUp(await systemctl.state(CONFIGURATION_UNIT))
      ? (await left()).filter(isToDo)
      : [];
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
): DesiredService {
  const { metrics, router, firstPeers: first } = settings;
  // A wrong target is reported once.
  const areTargetsSaid = findings.some(({ about }) => about === 'mirror-targets');
  // A restart with settings that end the daemon is no advice: the obstacle says what to correct.
  const isBroken = findings.some(
    ({ kind, about }) => kind === 'obstacle' && ['settings', 'network-key'].includes(about),
  );
  const optionVariables = isBroken ? [] : settings.optionVariables;
  const isChanging = edits.length > 0;
  return {
    ...settings,
    optionVariables,
    isChanging,
    areTargetsSaid,
    peers: { metrics, router, first },
  };
}

async function lookAtHost(
  settings: InstallSettings,
  systemctl: Systemctl,
  { signal }: InstallContext,
): Promise<Look> {
  const { hostsPaths, mirrors, registry, router, metrics, resultingSettings } = settings;
  const { containerd } = settings;
  const { findings: socketFindings, ...host } = unitAdjustments(containerd.socket);
  const proxy = await findProxy(containerd.socket, systemctl, signal);
  const kept = keptEnvironment(settings.settingsToWrite, settings.environmentHead);
  const files = installFiles(settings.contents, {
    ...host,
    containerdUnit: containerd.unit,
    hostsPaths,
    servicePaths: await servicePaths(settings, signal),
    proxy: proxyNote(proxy),
  }).map((file) => (file.path === ENVIRONMENT_FILE && kept !== undefined ? kept.file : file));
  const changes = files.flatMap((file) => changeFor(file) ?? []);
  const { active } = await systemctl.state(CONFIGURATION_UNIT);
  const { pid } = await systemctl.state(SERVICE_UNIT);
  const owners = { pid, listens: await listensOf(systemctl) };
  const ports = await portFindings(
    [registry, router, metrics, ...settings.otherListeners],
    owners,
    settings.flagSettings,
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
    // The environment file is edited, not replaced.
    ...foreignFindings(changes.filter(({ path }) => path !== kept?.file.path)),
    ...diskFindings(files, changes, active === 'active' ? [] : hostsPaths),
    ...targetFindings(mirrors.targets, registry),
    ...hostNotes(host),
    ...environmentAdvice({ ...settings, fresh: settings.contents.environmentFile({}) }),
    ...tagSourceNote(resultingSettings, proxy && knownProxy(proxy)),
    ...proxyAdvice(proxy, kept === undefined ? undefined : resultingSettings),
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
