import type { InstallReport } from '../lib/install/install.ts';
import { UNDECIDED } from '../lib/install/settings/network-decision.ts';
import { isToDo } from '../lib/install/system/finding.ts';
import { commandForOthers } from './installed/install-network.ts';
import { installSettings } from './installed/install-settings.ts';
import { planSettings } from './installed/plan-settings.ts';
import { INSTALL_OPTIONS } from './options/install-options.ts';
import { readOptions } from './options/read-options.ts';
import type { Command } from './process/command.ts';
import { assertExecutable, assertRoot, assertSystemd } from './process/preconditions.ts';
import { untilStopped } from './process/until-stopped.ts';
import { printInstallReport, withJsonProblem } from './report/install-report.ts';

export const installCommand: Command = {
  name: 'install',
  summary: 'install this executable as a service of this host and start it',
  options: INSTALL_OPTIONS,
  async run(given, context) {
    const values = readOptions(INSTALL_OPTIONS, given, context.env);
    const form = { json: values.json, isCheck: values.check };
    return withJsonProblem(form, context, async () => {
      assertRoot();
      assertSystemd();
      assertExecutable();
      const { install } = await import('../lib/install/install.ts');
      const say = (line: string) => context.stderr(`spegel: ${line}\n`);
      const { withInstallLock } = await import('../lib/install/install-lock.ts');
      const work = async (signal: AbortSignal) => {
        const call = { values, given, context };
        const plan = await planSettings(call, signal);
        const settings = await installSettings(call, plan);
        const { port } = settings.registry;
        const report = await install(settings, { signal, say });
        const otherHosts = await commandForOthers(plan.network, settings, report);
        return { report: { ...report, otherHosts }, port };
      };
      const { report, port } = await untilStopped(context.events, (signal) =>
        values.check ? work(signal) : withInstallLock(() => work(signal)),
      );
      printInstallReport(report, { ...form, port }, context);
      return statusOf(report, values.check);
    });
  },
};

function statusOf({ findings, changes, problem }: InstallReport, isCheck: boolean) {
  if (isCheck) return changes.length > 0 || findings.some(isToDo) ? 3 : 0;
  const obstacles = findings.filter(({ kind }) => kind === 'obstacle');
  // No obstacle on the host: a flag is missing.
  const isUndecided = obstacles.length > 0 && obstacles.every(({ about }) => about === UNDECIDED);
  if (isUndecided) return 2;
  return obstacles.length > 0 || problem !== undefined ? 1 : 0;
}
