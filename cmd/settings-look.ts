import { CONFIGURATION_OPTIONS } from './options/configuration-options.ts';
import { readOptions } from './options/read-options.ts';
import type { Command } from './process/command.ts';
import { untilStopped } from './process/until-stopped.ts';
import { configurationSettings } from './settings/configuration-settings.ts';

/**
 * The check of a running `spegel registry` whether containerd's settings are in place, in a process
 * of its own: 200 files take 0.2 s, and a disk that hangs takes longer. No pull must wait for it.
 */
export const settingsLookCommand: Command = {
  name: 'settings-look',
  summary: 'print how the mirror settings are, for spegel registry',
  isHidden: true,
  options: CONFIGURATION_OPTIONS,
  async run(given, context) {
    const values = readOptions(CONFIGURATION_OPTIONS, given, context.env);
    const settings = configurationSettings(values);
    const { filesInDesiredState } = await import('../lib/hosts/mirrors.ts');
    const { dryRunMirrors } = await import('../lib/install/settings/mirror-settings.ts');
    const { containerdRegistryConfigPath: hostsPaths, containerdSock: socket } = values;
    const outcome = await untilStopped(context.events, (signal) =>
      dryRunMirrors(settings, hostsPaths, { socket }, { isGlance: true, signal }),
    );
    const { changes, problems } = outcome;
    const absent = changes.map(({ path }) => path);
    const present = filesInDesiredState(outcome).length;
    // The CPU time of the whole process.
    const { user, system } = process.cpuUsage();
    const cpuMs = Math.round((user + system) / 1_000);
    context.stdout(`${JSON.stringify({ present, absent, leftAlone: problems, cpuMs })}\n`);
    return 0;
  },
};
