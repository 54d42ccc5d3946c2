import { createLogger, isLogged } from '../lib/base/log.ts';
import type { HostsOutcome } from '../lib/hosts/outcome.ts';
import { noteSettingsNotRead } from './installed/installed-settings.ts';
import { CLEANUP_OPTIONS, formerHostsPaths } from './options/configuration-options.ts';
import { readOptions } from './options/read-options.ts';
import type { Command } from './process/command.ts';
import { untilStopped } from './process/until-stopped.ts';
import { reportOutcome } from './report/hosts-report.ts';
import { isConfigurationUnit, recordedRunIfReadable } from './settings/settings-record.ts';

const PUT_BACK =
  'spegel: note: spegel.service has the settings put back within seconds; so that they stay out: systemctl stop spegel-configuration\n';

export const cleanupCommand: Command = {
  name: 'cleanup',
  summary: "take the mirror out of containerd's hosts.toml files again",
  options: CLEANUP_OPTIONS,
  async run(given, context) {
    const values = readOptions(CLEANUP_OPTIONS, given, context.env);
    const { addr, containerdRegistryConfigPath: hostsPaths, check, json, logLevel } = values;
    const isDryRun = values.dryRun || check;
    const formerPaths = formerHostsPaths(given);
    const isInfoShown = isLogged('INFO', logLevel);
    if (isInfoShown) noteSettingsNotRead(CLEANUP_OPTIONS, given, context, 'stop');
    if (
      isInfoShown &&
      !isConfigurationUnit(context.env) &&
      !isDryRun &&
      recordedRunIfReadable() !== undefined
    ) {
      context.stderr(PUT_BACK);
    }
    const { cleanUpMirrors } = await import('../lib/hosts/mirrors.ts');
    const outcome = await untilStopped(context.events, (signal) =>
      cleanUpMirrors(hostsPaths, { signal, isDryRun, formerPaths }),
    );
    await reportOutcome(outcome, { json, isDryRun, hostsPaths, logLevel }, context);
    if (check && outcome.changes.length > 0) return 3;
    if (outcome.problems.length > 0) return 1;
    if (addr === undefined || isDryRun) return 0;
    const { serveProbes } = await import('./process/serve-cleanup-probes.ts');
    const look = async () => {
      const { signal } = new AbortController();
      return remainingSettings(
        await cleanUpMirrors(hostsPaths, { signal, isDryRun: true, formerPaths }),
      );
    };
    return serveProbes(addr, look, createLogger(logLevel, context.stderr), context.events);
  },
};

/** Which mirror settings are left, in words for a person; undefined: none. */
function remainingSettings({ changes, problems }: HostsOutcome): string | undefined {
  const [change] = changes;
  const [problem] = problems;
  if (change !== undefined)
    return `the settings are back in ${change.path}: run spegel cleanup again`;
  return problem && `${problem.path} is left alone: ${problem.message}`;
}
