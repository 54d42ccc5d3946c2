import { createLogger } from '../lib/base/log.ts';
import type { Command } from './command.ts';
import { CLEANUP_OPTIONS, formerHostsPaths } from './hosts-options.ts';
import { reportOutcome } from './hosts-report.ts';
import { noteUnheeded } from './installed-settings.ts';
import { readOptions } from './option.ts';
import { isUnit, recordedRun } from './settings-record.ts';
import { untilStopped } from './until-stopped.ts';

const PUT_BACK =
  'spegel: note: spegel.service has the settings put back within seconds; so that they stay out: systemctl stop spegel-configuration\n';

export const cleanupCommand: Command = {
  name: 'cleanup',
  summary: "take the mirror out of containerd's hosts.toml files again",
  options: CLEANUP_OPTIONS,
  async run(given, context) {
    const values = readOptions(CLEANUP_OPTIONS, given, context.env);
    const { addr, containerdRegistryConfigPath: hostsPaths, dryRun, json, logLevel } = values;
    const formerPaths = formerHostsPaths(given);
    noteUnheeded(CLEANUP_OPTIONS, given, context, 'stop');
    if (!isUnit(context.env) && !dryRun && recordedRun() !== undefined) {
      context.stderr(PUT_BACK);
    }
    const { cleanUpMirrors } = await import('../lib/hosts/mirrors.ts');
    const outcome = await untilStopped(context.events, (signal) =>
      cleanUpMirrors(hostsPaths, { signal, isDryRun: dryRun, formerPaths }),
    );
    await reportOutcome(outcome, { json, isDryRun: dryRun, hostsPaths }, context);
    if (outcome.problems.length > 0) return 1;
    if (addr === undefined || dryRun) return 0;
    const { serveProbes } = await import('./serve-probes.ts');
    return serveProbes(addr, createLogger(logLevel, context.stderr), context.events);
  },
};
