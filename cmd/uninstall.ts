import type { UninstallReport } from '../lib/install/uninstall.ts';
import { quoted } from '../lib/systemd/environment-syntax.ts';
import {
  installedEnvironment,
  installedValues,
  withoutPasswords,
} from './installed/installed-settings.ts';
import { CLEANUP_OPTIONS } from './options/configuration-options.ts';
import { UNINSTALL_OPTIONS } from './options/install-options.ts';
import type { Environment } from './options/option.ts';
import { readOptions } from './options/read-options.ts';
import type { Command, Context } from './process/command.ts';
import { assertRoot, hasSystemd } from './process/preconditions.ts';
import { untilStopped } from './process/until-stopped.ts';
import { ACTIONS_DONE } from './report/hosts-report.ts';
import { ACTIONS_PLANNED, withJsonProblem } from './report/install-report.ts';

export const uninstallCommand: Command = {
  name: 'uninstall',
  summary: 'stop the service and remove what install put in place',
  options: UNINSTALL_OPTIONS,
  async run(given, context) {
    const { purge, dryRun: isDryRun, json } = readOptions(UNINSTALL_OPTIONS, given, context.env);
    return withJsonProblem({ json }, context, async () => {
      assertRoot();
      const { withInstallLock } = await import('../lib/install/install-lock.ts');
      const env = installedEnvironment();
      // Only this setting has to be right: the others may have wrong values.
      const { CONTAINERD_REGISTRY_CONFIG_PATH } = env;
      const needed = { CONTAINERD_REGISTRY_CONFIG_PATH };
      const pathsIn = (values: Environment) =>
        installedValues(CLEANUP_OPTIONS, values).containerdRegistryConfigPath;
      const hostsPaths = [...new Set([...pathsIn(needed), ...pathsIn({})])];
      const { uninstall } = await import('../lib/install/uninstall.ts');
      const say = (line: string) => context.stderr(`spegel: ${line}\n`);
      const settings = { hostsPaths, purge, hasSystemd: hasSystemd(), isDryRun };
      const report = await untilStopped(context.events, (signal) =>
        isDryRun
          ? uninstall(settings, { signal, say })
          : withInstallLock(() => uninstall(settings, { signal, say })),
      );
      const told = withoutPasswords(env);
      const lost = Object.entries(told).map(([name, value = '']) => `${name}=${quoted(value)}`);
      if (json) context.stdout(`${JSON.stringify({ ...report, settings: told })}\n`);
      else print(report, { lost, isDryRun }, context);
      return report.problems.length > 0 ? 1 : 0;
    });
  },
};

interface Form {
  /** Lines with the settings of the removed file. */
  readonly lost: readonly string[];
  readonly isDryRun: boolean;
}

function print(report: UninstallReport, { lost, isDryRun }: Form, context: Context): void {
  const { changes, kept, problems } = report;
  const said = isDryRun ? ACTIONS_PLANNED : ACTIONS_DONE;
  for (const { path, action } of changes) context.stdout(`${said[action]} ${path}\n`);
  if (problems.length > 0) {
    const how = isDryRun ? 'it would not be uninstalled' : 'not uninstalled';
    context.stderr(`spegel: ${how}: containerd is still to ask this host, see below\n`);
  } else if (changes.length === 0) context.stdout('nothing to do\n');
  else for (const line of lost) context.stdout(`its setting ${isDryRun ? 'is' : 'was'} ${line}\n`);
  for (const { path, why } of kept) {
    context.stdout(`${isDryRun ? 'would keep' : 'kept'} ${path}: ${why}\n`);
  }
  for (const { path, message } of problems) {
    context.stderr(`spegel: ${path}: left alone: ${message.replaceAll(/\s*\n\s*/g, ' ')}\n`);
  }
}
