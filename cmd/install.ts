import { getAsset } from 'node:sea';
import { SpegelError } from '../lib/base/errors.ts';
import { isContainerd2 } from '../lib/hosts/containerd-version.ts';
import type { InstallReport, InstallSettings } from '../lib/install/install.ts';
import { editedEnvironment } from '../lib/install/settings/environment-edit.ts';
import { UNDECIDED } from '../lib/install/settings/network-decision.ts';
import { isToDo } from '../lib/install/system/finding.ts';
import {
  CONFIGURATION_UNIT,
  ENVIRONMENT_FILE,
  SERVICE_UNIT,
  SETTINGS_PATH_UNIT,
  SETTINGS_UNIT,
  SOCKET_UNIT,
} from '../lib/install/system/layout.ts';
import type { Listener } from '../lib/install/system/socket-unit.ts';
import { socketUnit } from '../lib/install/system/socket-unit.ts';
import { ENVIRONMENT_HEAD, environmentFile } from './installed/environment-file.ts';
import { firstPeers } from './installed/first-peers.ts';
import {
  decideInstallNetwork,
  lineForOthers,
  withoutKeyToMake,
} from './installed/install-network.ts';
import { installedText, settingsIn } from './installed/installed-settings.ts';
import { withRefusedFlags } from './installed/refused-flags.ts';
import {
  type CheckedSettings,
  checkSettings,
  readLeniently,
} from './installed/settings-findings.ts';
import { pathsInSettings } from './installed/settings-paths.ts';
import { CONFIGURATION_OPTIONS } from './options/configuration-options.ts';
import { INSTALL_OPTIONS, WRITTEN_OPTIONS } from './options/install-options.ts';
import type { Environment, GivenOptions, ValuesOf } from './options/option.ts';
import { readOptions } from './options/read-options.ts';
import { REGISTRY_OPTIONS } from './options/registry-options.ts';
import { spelledAsIn, withBareNames } from './options/variables.ts';
import { VERSION } from './process/build.ts';
import type { Command, Context } from './process/command.ts';
import { assertExecutable, assertRoot, assertSystemd } from './process/preconditions.ts';
import { untilStopped } from './process/until-stopped.ts';
import { completionsOf } from './report/completions.ts';
import { printInstallReport, withJsonProblem } from './report/install-report.ts';
import { configurationSettings } from './settings/configuration-settings.ts';
import { optionsWith } from './settings/daemon-settings.ts';
import { recordedRun } from './settings/settings-record.ts';

type Values = ValuesOf<typeof INSTALL_OPTIONS>;

const SOCKET_OPTION = { containerdSock: REGISTRY_OPTIONS.containerdSock };

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
        const { settings, network } = await installSettings(values, { given, context }, signal);
        const { port } = settings.registry;
        const report = await install(settings, { signal, say });
        const otherHosts = await lineForOthers(network, settings, report);
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
  // Nothing is in the way: the call itself lacks a word.
  const isUndecided = obstacles.length > 0 && obstacles.every(({ about }) => about === UNDECIDED);
  if (isUndecided) return 2;
  return obstacles.length > 0 || problem !== undefined ? 1 : 0;
}

async function installSettings(
  values: Values,
  { given, context }: { readonly given: GivenOptions; readonly context: Context },
  signal: AbortSignal,
) {
  const text = installedText();
  const isNew = text === undefined;
  const flagged = spelledAsIn(text ?? '', await askedSettings(values, given));
  const unit = await environmentWith(text ?? '', SERVICE_UNIT, settingsIn(text ?? ''), signal);
  const state = { settings: unit, hasSettings: !isNew };
  const network = await decideInstallNetwork(values, state, { context, signal });
  const said = { ...flagged, ...spelledAsIn(text ?? '', network.set) };
  const wanted = isNew ? '' : editedEnvironment(text, said).text;
  const former = isNew ? said : settingsIn(wanted);
  const service = await environmentWith(wanted, SERVICE_UNIT, former, signal);
  const mirrorUnit = await environmentWith(wanted, CONFIGURATION_UNIT, former, signal);
  const { containerd, found } = await foundSettings(service, isNew, signal);
  const asked = isNew ? { ...found, ...said } : said;
  const installed = isNew ? asked : former;
  const { host, mirrors, findings } = await checkSettings(
    isNew ? installed : service,
    wanted,
    isNew ? installed : mirrorUnit,
  );
  const before = isNew ? [] : (await checkSettings(settingsIn(text), text)).findings;
  const settings: InstallSettings = {
    contents: {
      executable: process.execPath,
      // Packed by scripts/package/pack.ts: an executable has no files beside it.
      units: {
        [SERVICE_UNIT]: getAsset(SERVICE_UNIT, 'utf8'),
        [CONFIGURATION_UNIT]: getAsset(CONFIGURATION_UNIT, 'utf8'),
        [SETTINGS_PATH_UNIT]: getAsset(SETTINGS_PATH_UNIT, 'utf8'),
        [SETTINGS_UNIT]: getAsset(SETTINGS_UNIT, 'utf8'),
        [SOCKET_UNIT]: socketUnit(getAsset(SOCKET_UNIT, 'utf8'), host.registryAddr),
      },
      environmentFile: (set) => environmentFile({ ...asked, ...set }),
      completions: completionsOf(context.commands),
      networkKey: network.file,
    },
    containerd,
    version: VERSION,
    hostsPaths: mirrors.containerdRegistryConfigPath,
    pathsInSettings: pathsInSettings({ host, mirrors }, service),
    mirrors: mirrorSettings(mirrors),
    recordedContainerd2: isContainerd2(recordedRun()?.env.CONTAINERD_VERSION),
    registry: { option: 'REGISTRY_ADDR', ...host.registryAddr },
    router: { option: 'ROUTER_ADDR', ...host.routerAddr },
    metrics: { option: 'METRICS_ADDR', ...host.metricsAddr },
    listeners: httpListeners(host),
    firstPeers: await firstPeers(host),
    names: Object.values(REGISTRY_OPTIONS).flatMap(({ env }) => env ?? []),
    asked,
    said: { ...withBareNames(flagged, [REGISTRY_OPTIONS]), ...network.flags },
    environmentHead: ENVIRONMENT_HEAD,
    installed,
    metricsIn,
    settingFindings: [
      ...network.findings,
      ...withRefusedFlags(withoutKeyToMake(findings, network), before, {
        ...flagged,
        ...network.flags,
      }),
    ],
    start: values.start,
    isCheck: values.check,
  };
  return { settings, network };
}

/**
 * Values that do not go together are among the findings: with those of the defaults the look goes
 * on.
 */
function mirrorSettings(values: CheckedSettings['mirrors']) {
  try {
    return configurationSettings(values);
  } catch (error) {
    if (!(error instanceof SpegelError)) throw error;
    const { containerdRegistryConfigPath } = values;
    const fallback = readOptions(CONFIGURATION_OPTIONS, { basicAuthPath: [''] }, {});
    return configurationSettings({ ...fallback, containerdRegistryConfigPath });
  }
}

/**
 * The containerd of this host, and what a new file of settings has to say of it where nobody has
 * said otherwise. A file that is there says where it is, by its silence too: the service asks that
 * one.
 */
async function foundSettings(installed: Environment, isNew: boolean, signal: AbortSignal) {
  const { findContainerd, containerdSettings } = await import(
    '../lib/install/containerd/find-containerd.ts'
  );
  // One that is wrong is a finding, and the look goes on with the default.
  const socket = readLeniently(SOCKET_OPTION, installed).values.containerdSock;
  const given = isNew && !installed.CONTAINERD_SOCK?.trim() ? undefined : socket;
  const containerd = await findContainerd(given, signal);
  const { CONTAINERD_SOCK, ...paths } = await containerdSettings(containerd, signal);
  return {
    containerd,
    found: {
      ...(given === undefined && CONTAINERD_SOCK !== undefined && { CONTAINERD_SOCK }),
      ...paths,
    },
  };
}

/**
 * What a unit that is installed has with this text as its file: a drop-in may set options, too.
 * `fallback`: of one that systemd does not know.
 */
async function environmentWith(
  text: string,
  unit: string,
  fallback: Environment,
  signal: AbortSignal,
): Promise<Environment> {
  const { Systemctl } = await import('../lib/install/system/systemctl.ts');
  const { unitEnvironment } = await import('../lib/install/system/unit-environment.ts');
  const systemctl = new Systemctl(signal);
  if ((await systemctl.state(unit)).load !== 'loaded') return fallback;
  const all = await unitEnvironment(unit, systemctl, { [ENVIRONMENT_FILE]: text });
  return withBareNames(all, [REGISTRY_OPTIONS, CONFIGURATION_OPTIONS]);
}

function metricsIn(env: Environment): Listener | undefined {
  const { values, problems } = readLeniently({ metricsAddr: REGISTRY_OPTIONS.metricsAddr }, env);
  return problems.length > 0 ? undefined : { option: 'METRICS_ADDR', ...values.metricsAddr };
}

function httpListeners({ bootstrapKind, httpBootstrapAddr }: CheckedSettings['host']): Listener[] {
  if (!bootstrapKind.includes('http') || httpBootstrapAddr === undefined) return [];
  return [{ option: 'HTTP_BOOTSTRAP_ADDR', ...httpBootstrapAddr }];
}

/**
 * What the command line sets, by the names in the environment file. Throws for a peer that is none.
 */
async function askedSettings(values: Values, given: GivenOptions): Promise<Environment> {
  if (given.staticBootstrapPeers !== undefined) {
    const { parseBootstrapPeer } = await import('../lib/daemon.ts');
    readOptions(
      optionsWith(parseBootstrapPeer),
      { staticBootstrapPeers: given.staticBootstrapPeers },
      {},
    );
  }
  const keys = Object.keys(WRITTEN_OPTIONS) as (keyof typeof WRITTEN_OPTIONS)[];
  const asked = keys.filter((key) => given[key] !== undefined);
  return Object.fromEntries(asked.map((key) => [REGISTRY_OPTIONS[key].env, values[key]]));
}
