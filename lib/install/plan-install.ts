import { diskFindings } from './checks/disk-check.ts';
import {
  checkHost,
  deadLinkFindings,
  foreignFindings,
  unitAdjustments,
} from './checks/host-check.ts';
import { portConflictFindings, targetFindings } from './checks/mirror-check.ts';
import { listensOf, portFindings } from './checks/port-check.ts';
import { checkContainerd } from './containerd/containerd-check.ts';
import { embeddedMirrorFindings } from './containerd/embedded-mirror.ts';
import { findProxy, knownProxy } from './containerd/find-proxy.ts';
import { proxyAdvice, proxyNote } from './containerd/proxy-findings.ts';
import type { InstallSettings } from './install-settings.ts';
import type { EnvironmentEdit } from './settings/environment-edit.ts';
import { environmentAdvice } from './settings/environment-findings.ts';
import { keptEnvironment } from './settings/kept-environment.ts';
import { tagSourceNote } from './settings/tag-source-findings.ts';
import { isRancher } from './system/distribution.ts';
import { changeFor, type InstallFile, type InstallFileChange } from './system/files.ts';
import { type Finding, note } from './system/finding.ts';
import {
  CONFIGURATION_UNIT,
  ENVIRONMENT_FILE,
  installFiles,
  SERVICE_UNIT,
  type UnitAdjustments,
} from './system/layout.ts';
import { servicePaths } from './system/service-paths.ts';
import type { Systemctl } from './system/systemctl.ts';
import { startedUnit } from './system/unit-environment.ts';

/** What an installation would change, and what stands in its way. */
export interface InstallPlan {
  readonly findings: readonly Finding[];
  /** Every file, also those that need no change. */
  readonly files: readonly InstallFile[];
  readonly changes: readonly InstallFileChange[];
  /** Changes of settings in the environment file. */
  readonly settings: readonly EnvironmentEdit[];
}

/** Checks the host, and works out the files of an installation. Nothing is written. */
export async function planInstall(
  settings: InstallSettings,
  systemctl: Systemctl,
  signal: AbortSignal,
): Promise<InstallPlan> {
  const { contents, hostsPaths, containerd, resultingSettings } = settings;
  const { findings: socketFindings, ...adjustments } = unitAdjustments(containerd.socket);
  const proxy = await findProxy(containerd.socket, systemctl, signal);
  const kept = keptEnvironment(settings.settingsToWrite, settings.environmentHead);
  const files = installFiles(contents, {
    ...adjustments,
    containerdUnit: containerd.unit,
    hostsPaths,
    servicePaths: await servicePaths(settings, signal),
    proxy: proxyNote(proxy),
  }).map((file) => (file.path === ENVIRONMENT_FILE && kept !== undefined ? kept.file : file));
  const changes = files.flatMap((file) => changeFor(file) ?? []);
  const { active } = await systemctl.state(CONFIGURATION_UNIT);
  const { pid } = await systemctl.state(SERVICE_UNIT);
  const findings = [
    ...settings.settingFindings,
    ...(await listenerFindings(settings, pid, systemctl)),
    ...(await checkContainerd(settings, signal)),
    ...(await embeddedFindings(settings, systemctl, pid !== 0)),
    ...socketFindings,
    // The environment file is edited, not replaced.
    ...foreignFindings(changes.filter(({ path }) => path !== kept?.file.path)),
    ...diskFindings(files, changes, active === 'active' ? [] : hostsPaths),
    ...targetFindings(settings.mirrors.targets, settings.registry),
    ...namespaceNotes(adjustments),
    ...environmentAdvice({ ...settings, fresh: contents.environmentFile({}) }),
    ...tagSourceNote(resultingSettings, proxy && knownProxy(proxy)),
    ...proxyAdvice(proxy, kept === undefined ? undefined : resultingSettings),
  ];
  return { findings, files, changes, settings: kept?.edits ?? [] };
}

/** Ports that other programs have, and files of others on the way to ours. */
async function listenerFindings(
  settings: InstallSettings,
  pid: number,
  systemctl: Systemctl,
): Promise<Finding[]> {
  const { hostsPaths, mirrors, registry, router, metrics, otherListeners } = settings;
  const owners = { pid, listens: await listensOf(systemctl) };
  const listeners = [registry, router, metrics, ...otherListeners];
  const ports = await portFindings(listeners, owners, settings.flagSettings);
  const isTaken = ports.some(({ message }) => message.includes(`${registry.option}=`));
  return [
    ...portConflictFindings(mirrors.targets, registry, { pid, isTaken }),
    ...checkHost(hostsPaths),
    ...deadLinkFindings(ENVIRONMENT_FILE),
    ...ports,
  ];
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

function namespaceNotes({
  hasUserNamespaces,
}: Pick<UnitAdjustments, 'hasUserNamespaces'>): Finding[] {
  if (hasUserNamespaces) return [];
  const text =
    'this host has no user namespaces (user.max_user_namespaces = 0): the service runs without PrivateUsers=yes, by a drop-in';
  return [note('user-namespaces', text)];
}
