import { SpegelError } from '../lib/base/errors.ts';
import type { ConfigurationSettings } from '../lib/hosts/mirror-wishes.ts';
import { readBasicAuth } from './basic-auth.ts';
import type { Command } from './command.ts';
import { CONFIGURATION_OPTIONS } from './hosts-options.ts';
import { reportOutcome } from './hosts-report.ts';
import { noteUnheeded } from './installed-settings.ts';
import { readOptions, type ValuesOf } from './option.ts';
import { chooseRegistries } from './registry-urls.ts';
import { untilStopped } from './until-stopped.ts';

export const configurationCommand: Command = {
  name: 'configuration',
  summary: 'have containerd ask the mirror first: write its hosts.toml files',
  options: CONFIGURATION_OPTIONS,
  async run(given, context) {
    const values = readOptions(CONFIGURATION_OPTIONS, given, context.env);
    const settings = configurationSettings(values);
    const path = values.containerdRegistryConfigPath;
    noteUnheeded(CONFIGURATION_OPTIONS, given, context, 'restart');
    const isDryRun = values.dryRun || values.check;
    const { configureMirrors } = await import('../lib/hosts/mirrors.ts');
    const outcome = await untilStopped(context.events, (signal) =>
      configureMirrors(path, settings, { isDryRun, signal }),
    );
    await reportOutcome(outcome, { json: values.json, isDryRun, path }, context);
    if (values.check && outcome.changes.length > 0) return 3;
    return outcome.problems.length > 0 ? 1 : 0;
  },
};

/** What the options' values want. Throws a usage error for values that do not go together. */
export function configurationSettings(
  values: ValuesOf<typeof CONFIGURATION_OPTIONS>,
): ConfigurationSettings {
  if (values.mirrorTargets.length === 0) {
    throw new SpegelError('ERR_USAGE', '--mirror-targets: expected at least one URL, got none');
  }
  return {
    ...chooseRegistries(values.mirroredRegistries, values.excludedRegistries),
    targets: [...new Set(values.mirrorTargets)],
    resolveTags: values.resolveTags,
    dialTimeoutMs: values.dialTimeout,
    authorization: readBasicAuth(values.basicAuthPath),
    prependExisting: values.prependExisting,
  };
}
