import type { UninstallReport } from '../lib/install/uninstall.ts';
import type { Command, Context } from './command.ts';
import { assertRoot, hasSystemd } from './install.ts';
import { UNINSTALL_OPTIONS } from './install-options.ts';
import { installedEnvironment, installedValues } from './installed-settings.ts';
import { readOptions } from './option.ts';
import { untilStopped } from './until-stopped.ts';

export const uninstallCommand: Command = {
  name: 'uninstall',
  summary: 'stop the service and remove what install put in place',
  options: UNINSTALL_OPTIONS,
  async run(given, context) {
    const { purge, json } = readOptions(UNINSTALL_OPTIONS, given, context.env);
    assertRoot();
    const env = installedEnvironment();
    // Of a file with a wrong value only the one that is needed here has to be right.
    const { CONTAINERD_REGISTRY_CONFIG_PATH } = env;
    const { containerdRegistryConfigPath: hostsPath } = installedValues({
      CONTAINERD_REGISTRY_CONFIG_PATH,
    });
    const { uninstall } = await import('../lib/install/uninstall.ts');
    const say = (line: string) => context.stderr(`spegel: ${line}\n`);
    const settings = { hostsPath, purge, hasSystemd: hasSystemd() };
    const report = await untilStopped(context.events, (signal) =>
      uninstall(settings, { signal, say }),
    );
    const lost = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    if (json) context.stdout(`${JSON.stringify({ ...report, settings: env })}\n`);
    else print(report, lost, context);
    return report.problems.length > 0 ? 1 : 0;
  },
};

const DONE = { add: 'added', change: 'changed', remove: 'removed' } as const;

function print(report: UninstallReport, lost: readonly string[], context: Context): void {
  const { changes, kept, problems } = report;
  for (const { path, action } of changes) context.stdout(`${DONE[action]} ${path}\n`);
  if (changes.length === 0) context.stdout('nothing to do\n');
  else for (const line of lost) context.stdout(`its setting was ${line}\n`);
  for (const { path, why } of kept) context.stdout(`kept ${path}: ${why}\n`);
  for (const { path, message } of problems) {
    context.stderr(`spegel: ${path}: left alone: ${message.replaceAll(/\s*\n\s*/g, ' ')}\n`);
  }
}
