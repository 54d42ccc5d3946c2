import { formatHostPort } from '../lib/base/address.ts';
import { SpegelError } from '../lib/base/errors.ts';
import { isLogged } from '../lib/base/log.ts';
import type { ConfigurationSettings } from '../lib/hosts/mirror-wishes.ts';
import { ownTarget } from '../lib/port/own-target.ts';
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
    const { logLevel } = values;
    if (isLogged('INFO', logLevel)) {
      noteUnheeded(CONFIGURATION_OPTIONS, given, context, 'restart');
    }
    const isDryRun = values.dryRun || values.check;
    const { refuseStrangers, strangersOn } = await import('../lib/port/strangers.ts');
    refuseStrangers(strangersOn(settings.targets));
    const { configureMirrors } = await import('../lib/hosts/mirrors.ts');
    const outcome = await untilStopped(context.events, (signal) =>
      configureMirrors(path, settings, { isDryRun, signal }),
    );
    await reportOutcome(outcome, { json: values.json, isDryRun, path, logLevel }, context);
    if (values.check && outcome.changes.length > 0) return 3;
    return outcome.problems.length > 0 ? 1 : 0;
  },
};

/** What the options' values want. Throws a usage error for values that do not go together. */
export function configurationSettings(
  values: ValuesOf<typeof CONFIGURATION_OPTIONS>,
): ConfigurationSettings {
  return {
    ...chooseRegistries(values.mirroredRegistries, values.excludedRegistries),
    targets: mirrorTargets(values),
    resolveTags: values.resolveTags,
    dialTimeoutMs: values.dialTimeout,
    authorization: readBasicAuth(values.basicAuthPath),
    prependExisting: values.prependExisting,
  };
}

function mirrorTargets({
  mirrorTargets: given,
  registryAddr,
}: Pick<ValuesOf<typeof CONFIGURATION_OPTIONS>, 'mirrorTargets' | 'registryAddr'>) {
  if (given.length > 0) return [...new Set(given)];
  const own = ownTarget(registryAddr);
  if (own !== undefined) return [own];
  const { host, port } = registryAddr;
  throw new SpegelError(
    'ERR_USAGE',
    `--mirror-targets: expected a URL that leads to --registry-addr ${formatHostPort(host, port)}, which none follows from, got none`,
  );
}
