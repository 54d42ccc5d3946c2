import { existsSync } from 'node:fs';
import { SpegelError } from '../base/errors.ts';
import { applyFiles } from './apply-files.ts';
import { settingsOutcome } from './checks/mirror-check.ts';
import { type DesiredService, serviceFindings } from './checks/service-check.ts';
import { type VersionChange, versionChange } from './checks/version-check.ts';
import type { InstallSettings } from './install-settings.ts';
import { type InstallPlan, planInstall } from './plan-install.ts';
import type { EnvironmentEdit } from './settings/environment-edit.ts';
import { type InstallContext, type ServiceAction, startService } from './start-service.ts';
import type { InstallFileChange } from './system/files.ts';
import { type Finding, isToDo } from './system/finding.ts';
import { CONFIGURATION_UNIT, EXECUTABLE, SERVICE_FILE } from './system/layout.ts';
import { isUp, Systemctl } from './system/systemctl.ts';

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

/**
 * Checks the host, then writes the executable, units, environment file and completions, and starts
 * the service. With an obstacle among the findings nothing is touched. Rejects with SpegelError
 * ERR_INSTALL when a file cannot be written; the same call again goes on from there.
 */
export async function install(
  settings: InstallSettings,
  context: InstallContext,
): Promise<InstallReport> {
  const { isCheck, start, containerd, hostsPaths, mirrors, optionVariables, registry } = settings;
  const systemctl = new Systemctl(context.signal);
  context.say('looking at the host');
  const version = await versionChange(settings.version, context.signal);
  const { files, ...plan } = await planInstall(settings, systemctl, context.signal);
  const { findings, changes } = plan;
  const isExecutableChanged = changes.some(({ path }) => path === EXECUTABLE);
  const program = isExecutableChanged ? settings.contents.executable : 'spegel';
  if (isCheck) {
    const desired = desiredService(settings, plan);
    const running = existsSync(SERVICE_FILE)
      ? await serviceFindings(desired, systemctl, context.signal)
      : [];
    const all = [...findings, ...running];
    return { ...plan, findings: all, version, service: undefined, program };
  }
  if (findings.some(({ kind }) => kind === 'obstacle')) {
    return { findings, changes: [], settings: [], version, service: undefined, program };
  }
  applyFiles(files, changes);
  const mirrorFindings = async () => {
    const outcome = await settingsOutcome(hostsPaths, mirrors, containerd, context.signal);
    return outcome.findings;
  };
  try {
    const areSettingsFine = async () =>
      !(await mirrorFindings()).some(({ about }) => about === 'hosts');
    const { port } = registry;
    const request = { start, changes, port, optionVariables, areSettingsFine };
    const service = await startService(request, systemctl, context);
    const after = isUp(await systemctl.state(CONFIGURATION_UNIT))
      ? (await mirrorFindings()).filter(isToDo)
      : [];
    return { ...plan, findings: [...findings, ...after], version, service, program: 'spegel' };
  } catch (error) {
    if (!(error instanceof SpegelError) || context.signal.aborted) throw error;
    const { message: problem } = error;
    return { ...plan, version, service: undefined, problem, program: 'spegel' };
  }
}

/** What a check expects of the service that is installed already. */
function desiredService(
  settings: InstallSettings,
  { findings, settings: edits }: Pick<InstallPlan, 'findings' | 'settings'>,
): DesiredService {
  const { metrics, router, firstPeers: first, isClosed } = settings;
  // A wrong target is reported once.
  const areTargetsReported = findings.some(({ about }) => about === 'mirror-targets');
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
    areTargetsReported,
    peers: { metrics, router, first, isClosed },
  };
}
