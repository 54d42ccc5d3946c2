import { existsSync } from 'node:fs';
import { getAsset, isSea } from 'node:sea';
import { SpegelError } from '../lib/base/errors.ts';
import { isToDo } from '../lib/install/finding.ts';
import type { InstallReport, InstallSettings } from '../lib/install/install.ts';
import {
  CONFIGURATION,
  ENVIRONMENT_FILE,
  SERVICE,
  SETTINGS,
  SETTINGS_PATH,
  SOCKET,
} from '../lib/install/layout.ts';
import { socketUnit } from '../lib/install/socket-unit.ts';
import type { Command } from './command.ts';
import { configurationSettings } from './configuration.ts';
import { environmentFile } from './environment-file.ts';
import { CONFIGURATION_OPTIONS } from './hosts-options.ts';
import { INSTALL_OPTIONS } from './install-options.ts';
import { printInstallReport, withJsonProblem } from './install-report.ts';
import { installedEnvironment, installedValues } from './installed-settings.ts';
import { type Environment, readOptions, type ValuesOf } from './option.ts';
import { REGISTRY_OPTIONS } from './options.ts';
import { untilStopped } from './until-stopped.ts';

type Values = ValuesOf<typeof INSTALL_OPTIONS>;

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
      const { report, port } = await untilStopped(context.events, async (signal) => {
        const settings = await installSettings(values, signal);
        const { port } = settings.registry;
        return { report: await install(settings, { signal, say }), port };
      });
      printInstallReport(report, { ...form, port }, context);
      return statusOf(report, values.check);
    });
  },
};

function statusOf({ findings, changes, problem }: InstallReport, isCheck: boolean) {
  if (isCheck) return changes.length > 0 || findings.some(isToDo) ? 3 : 0;
  const isPrevented = findings.some(({ kind }) => kind === 'obstacle');
  return isPrevented || problem !== undefined ? 1 : 0;
}

/** Throws unless this process may write where a system's files are. */
export function assertRoot(): void {
  const uid = process.geteuid?.();
  if (uid === 0) return;
  throw new SpegelError('ERR_INSTALL', `expected to run as root, got user id ${uid}; use sudo`);
}

export const hasSystemd = () => existsSync('/run/systemd/system');

function assertSystemd(): void {
  if (hasSystemd()) return;
  const text =
    "expected a host that systemd has booted, got no /run/systemd/system; without it start 'spegel registry' by what you have, then run 'spegel configuration'";
  throw new SpegelError('ERR_INSTALL', text);
}

function assertExecutable(): void {
  if (isSea()) return;
  throw new SpegelError(
    'ERR_INSTALL',
    'expected to run as the executable, got its source; make build, then dist/spegel install',
  );
}

async function installSettings(values: Values, signal: AbortSignal): Promise<InstallSettings> {
  // When it is needed: it lists all commands, this one among them.
  const { COMPLETIONS } = await import('./completions.ts');
  const installed = installedEnvironment();
  const host = installedValues(REGISTRY_OPTIONS, installed);
  const { containerd, found } = await foundSettings(values, installed, signal);
  const mirrors = installedValues(CONFIGURATION_OPTIONS, { ...found, ...installed });
  const asked = { ...found, ...(await askedSettings(values)) };
  return {
    contents: {
      executable: process.execPath,
      // Packed by scripts/pack.ts: an executable has no files beside it.
      units: {
        [SERVICE]: getAsset(SERVICE, 'utf8'),
        [CONFIGURATION]: getAsset(CONFIGURATION, 'utf8'),
        [SETTINGS_PATH]: getAsset(SETTINGS_PATH, 'utf8'),
        [SETTINGS]: getAsset(SETTINGS, 'utf8'),
        [SOCKET]: socketUnit(getAsset(SOCKET, 'utf8'), host.registryAddr),
      },
      environmentFile: (set) => environmentFile({ ...asked, ...set }),
      completions: Object.fromEntries(
        Object.entries(COMPLETIONS).map(([name, text]) => [name, text()]),
      ),
    },
    containerd,
    hostsPaths: mirrors.containerdRegistryConfigPath,
    mirrors: configurationSettings(mirrors),
    registry: { option: 'REGISTRY_ADDR', ...host.registryAddr },
    listeners: [
      { option: 'ROUTER_ADDR', ...host.routerAddr },
      { option: 'METRICS_ADDR', ...host.metricsAddr },
    ],
    asked,
    installed,
    start: values.start,
    isCheck: values.check,
  };
}

/**
 * The containerd of this host, and what a file of settings has to say of it where nobody has said
 * otherwise. A file that is there says where the hosts.toml files are, by its silence too.
 */
async function foundSettings(values: Values, installed: Environment, signal: AbortSignal) {
  const { findContainerd, settingsFor } = await import('../lib/install/find-containerd.ts');
  const { containerdSock: socket } = installedValues(REGISTRY_OPTIONS, installed);
  const given = values.containerdSock ?? (installed.CONTAINERD_SOCK?.trim() ? socket : undefined);
  const containerd = await findContainerd(given, signal);
  const { CONTAINERD_SOCK, ...paths } = await settingsFor(containerd, signal);
  return {
    containerd,
    found: {
      ...(given === undefined && CONTAINERD_SOCK !== undefined && { CONTAINERD_SOCK }),
      ...(existsSync(ENVIRONMENT_FILE) ? {} : paths),
    },
  };
}

/** What the command line sets, by the names in the environment file. Throws for a peer that is none. */
async function askedSettings({ staticBootstrapPeers: peers, containerdSock }: Values) {
  if (peers.length > 0) {
    const { parseBootstrapPeer } = await import('../lib/daemon.ts');
    const { staticBootstrapPeers: option } = INSTALL_OPTIONS;
    const parse = (texts: readonly string[]) => option.parse(texts).map(parseBootstrapPeer);
    readOptions({ peers: { ...option, parse } }, { peers }, {});
  }
  return {
    ...(peers.length === 0 ? {} : { STATIC_BOOTSTRAP_PEERS: peers.join(',') }),
    ...(containerdSock === undefined ? {} : { CONTAINERD_SOCK: containerdSock }),
  };
}
