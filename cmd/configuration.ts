import { isDeepStrictEqual } from 'node:util';
import { SpegelError } from '../lib/base/errors.ts';
import { isLogged } from '../lib/base/log.ts';
import type { ConfigurationSettings } from '../lib/hosts/configuration-settings.ts';
import {
  installedEnvironmentIfReadable,
  noteSettingsNotRead,
} from './installed/installed-settings.ts';
import { CONFIGURATION_OPTIONS, formerHostsPaths } from './options/configuration-options.ts';
import { readOptions } from './options/read-options.ts';
import type { Command } from './process/command.ts';
import { untilStopped } from './process/until-stopped.ts';
import { reportOutcome } from './report/hosts-report.ts';
import { configurationSettings } from './settings/configuration-settings.ts';
import {
  isConfigurationUnit,
  recordedRunIfReadable,
  recordSettings,
} from './settings/settings-record.ts';

export const configurationCommand: Command = {
  name: 'configuration',
  summary: 'have containerd ask the mirror first: write its hosts.toml files',
  options: CONFIGURATION_OPTIONS,
  async run(given, context) {
    const { check } = CONFIGURATION_OPTIONS;
    // A check reports what the unit would do, like `install --check`: it takes the unit's settings.
    const isCheck = readOptions({ check }, given, context.env).check;
    const env = isCheck ? { ...installedEnvironmentIfReadable(), ...context.env } : context.env;
    const values = readOptions(CONFIGURATION_OPTIONS, given, env);
    const settings = configurationSettings(values);
    const hostsPaths = values.containerdRegistryConfigPath;
    const { logLevel } = values;
    const isInfoShown = isLogged('INFO', logLevel);
    if (isInfoShown && !isCheck)
      noteSettingsNotRead(CONFIGURATION_OPTIONS, given, context, 'restart');
    const formerPaths = formerHostsPaths(given);
    const isDryRun = values.dryRun || values.check;
    const { refusePortConflicts, portConflicts } = await import('../lib/port/port-conflicts.ts');
    refusePortConflicts(portConflicts(settings.targets));
    const { configureMirrors } = await import('../lib/hosts/mirrors.ts');
    const { dryRunMirrors, withContainerdVersion } = await import(
      '../lib/install/settings/mirror-settings.ts'
    );
    const source = { socket: values.containerdSock };
    let known = settings;
    const outcome = await untilStopped(context.events, async (signal) => {
      const options = { signal, formerPaths };
      if (isDryRun) return dryRunMirrors(settings, hostsPaths, source, options);
      known = await withContainerdVersion(settings, hostsPaths, source, options);
      return configureMirrors(hostsPaths, known, options);
    }).catch((error) => {
      throw asNotConfigured(error);
    });
    await reportOutcome(outcome, { json: values.json, isDryRun, hostsPaths, logLevel }, context);
    const isByHand = !isDryRun && !isConfigurationUnit(context.env);
    if (isInfoShown && isByHand && isOverridden({ settings, hostsPaths })) context.stderr(PUT_BACK);
    if (values.check && outcome.changes.length > 0) return 3;
    if (outcome.problems.length > 0 && outcome.inForce.length === 0) return 5;
    if (isConfigurationUnit(context.env) && !isDryRun) {
      const leftAlone = outcome.problems.map(({ path }) => path);
      await recordSettings(context.env, known.isContainerd2, leftAlone);
    }
    return outcome.problems.length > 0 ? 1 : 0;
  },
};

const PUT_BACK =
  'spegel: note: spegel-configuration.service is active with other options, and spegel.service has its settings put back within seconds; set these in spegel.env, then: systemctl restart spegel-configuration\n';

/** Whether an active unit has other settings: it will undo what this run has written. */
function isOverridden(desired: {
  readonly settings: ConfigurationSettings;
  readonly hostsPaths: readonly string[];
}): boolean {
  const last = recordedRunIfReadable();
  if (last === undefined) return false;
  const values = readOptions(CONFIGURATION_OPTIONS, {}, last.env);
  const hostsPaths = values.containerdRegistryConfigPath;
  const isElsewhere = !hostsPaths.some((path) => desired.hostsPaths.includes(path));
  // The unit knows containerd's version, and this run does not.
  const withoutVersion = (settings: ConfigurationSettings) => ({
    ...settings,
    isContainerd2: undefined,
  });
  const own = { settings: withoutVersion(configurationSettings(values)), hostsPaths };
  const other = { ...desired, settings: withoutVersion(desired.settings) };
  return !isElsewhere && !isDeepStrictEqual(own, other);
}

/**
 * A failed run needs another status than a run that only left some files alone. A run that was
 * stopped has not failed.
 */
function asNotConfigured(error: unknown): unknown {
  if (!(error instanceof SpegelError) || error.code !== 'ERR_HOSTS') return error;
  return new SpegelError('ERR_NOT_CONFIGURED', error.message, { cause: error });
}
