import type { FoundContainerd } from '../../lib/install/containerd/find-containerd.ts';
import { editedEnvironment } from '../../lib/install/settings/environment-edit.ts';
import {
  CONFIGURATION_UNIT,
  ENVIRONMENT_FILE,
  SERVICE_UNIT,
} from '../../lib/install/system/layout.ts';
import { CONFIGURATION_OPTIONS } from '../options/configuration-options.ts';
import { type INSTALL_OPTIONS, WRITTEN_OPTIONS } from '../options/install-options.ts';
import type { Environment, GivenOptions, ValuesOf } from '../options/option.ts';
import { readOptions } from '../options/read-options.ts';
import { REGISTRY_OPTIONS } from '../options/registry-options.ts';
import { spelledAsIn, withBareNames } from '../options/variables.ts';
import type { Context } from '../process/command.ts';
import { optionsWith } from '../settings/daemon-settings.ts';
import { decideInstallNetwork, type InstallNetwork } from './install-network.ts';
import { installedText, settingsIn } from './installed-settings.ts';
import { readLeniently } from './settings-findings.ts';

export type InstallValues = ValuesOf<typeof INSTALL_OPTIONS>;

/** What the command line of an installation brings. */
export interface InstallCall {
  readonly values: InstallValues;
  readonly given: GivenOptions;
  readonly context: Context;
}

/** The settings of the services before and after an installation. */
export interface SettingsPlan {
  /** Whether there is no environment file yet. */
  readonly isNew: boolean;
  /** The text of the environment file before this call; empty where there is none. */
  readonly textBefore: string;
  /** The text after this call; empty for a new file. */
  readonly textAfter: string;
  /** The settings of the flags, by the names that count in the file. */
  readonly flagSettings: Environment;
  /** The settings that this call writes to the file. */
  readonly settingsToWrite: Environment;
  /** The settings of the file after this call. */
  readonly resultingSettings: Environment;
  /** What the service gets after this call, with those of drop-ins. */
  readonly serviceEnvironment: Environment;
  /** What the configuration unit gets after this call, with those of drop-ins. */
  readonly configurationEnvironment: Environment;
  /** The environment with which systemd starts the service: also variables that are no options. */
  readonly startEnvironment: Environment;
  readonly network: InstallNetwork;
  readonly containerd: FoundContainerd;
}

/**
 * Works out the settings that an installation leads to: from the environment file, the flags, the
 * decision about the network, and the containerd of this host. Throws SpegelError for flags that
 * are wrong.
 */
export async function planSettings(call: InstallCall, signal: AbortSignal): Promise<SettingsPlan> {
  const { values, given, context } = call;
  const text = installedText();
  const isNew = text === undefined;
  const textBefore = text ?? '';
  const flagSettings = spelledAsIn(textBefore, await settingsOfFlags(values, given));
  const settings = await unitSettings(SERVICE_UNIT, textBefore, settingsIn(textBefore), signal);
  const state = { settings, hasSettings: !isNew };
  const network = await decideInstallNetwork(values, state, { context, signal });
  const changes = { ...flagSettings, ...spelledAsIn(textBefore, network.set) };
  const textAfter = isNew ? '' : editedEnvironment(textBefore, changes).text;
  const inFile = isNew ? changes : settingsIn(textAfter);
  const service = await unitSettings(SERVICE_UNIT, textAfter, inFile, signal);
  const configuration = await unitSettings(CONFIGURATION_UNIT, textAfter, inFile, signal);
  const { containerd, found } = await findContainerdSettings(service, isNew, signal);
  const settingsToWrite = isNew ? { ...found, ...changes } : changes;
  const resultingSettings = isNew ? settingsToWrite : inFile;
  return {
    isNew,
    textBefore,
    textAfter,
    flagSettings,
    settingsToWrite,
    resultingSettings,
    serviceEnvironment: isNew ? resultingSettings : service,
    configurationEnvironment: isNew ? resultingSettings : configuration,
    startEnvironment: service,
    network,
    containerd,
  };
}

/**
 * The settings of the flags, by the names of their variables. Throws SpegelError for a peer that
 * cannot be parsed.
 */
async function settingsOfFlags(values: InstallValues, given: GivenOptions): Promise<Environment> {
  if (given.staticBootstrapPeers !== undefined) {
    const { parseBootstrapPeer } = await import('../../lib/daemon.ts');
    readOptions(
      optionsWith(parseBootstrapPeer),
      { staticBootstrapPeers: given.staticBootstrapPeers },
      {},
    );
  }
  const keys = Object.keys(WRITTEN_OPTIONS) as (keyof typeof WRITTEN_OPTIONS)[];
  const names = keys.filter((key) => given[key] !== undefined);
  return Object.fromEntries(names.map((key) => [REGISTRY_OPTIONS[key].env, values[key]]));
}

/**
 * The settings that an installed unit has with this text in its environment file: a drop-in may set
 * options, too. Returns `fallback` for a unit that systemd does not know.
 */
async function unitSettings(
  unit: string,
  text: string,
  fallback: Environment,
  signal: AbortSignal,
): Promise<Environment> {
  const { Systemctl } = await import('../../lib/install/system/systemctl.ts');
  const { unitEnvironment } = await import('../../lib/install/system/unit-environment.ts');
  const systemctl = new Systemctl(signal);
  if ((await systemctl.state(unit)).load !== 'loaded') return fallback;
  const all = await unitEnvironment(unit, systemctl, { [ENVIRONMENT_FILE]: text });
  return withBareNames(all, [REGISTRY_OPTIONS, CONFIGURATION_OPTIONS]);
}

const SOCKET_OPTION = { containerdSock: REGISTRY_OPTIONS.containerdSock };

/**
 * The containerd of this host, and the settings by which the services find it. An existing file
 * decides which containerd that is, also where it does not name a socket: the service then asks the
 * default one.
 */
async function findContainerdSettings(env: Environment, isNew: boolean, signal: AbortSignal) {
  const { findContainerd, containerdSettings } = await import(
    '../../lib/install/containerd/find-containerd.ts'
  );
  // A wrong value is reported elsewhere; here its default counts.
  const socket = readLeniently(SOCKET_OPTION, env).values.containerdSock;
  const given = isNew && !env.CONTAINERD_SOCK?.trim() ? undefined : socket;
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
