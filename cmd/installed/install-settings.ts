import { getAsset } from 'node:sea';
import { SpegelError } from '../../lib/base/errors.ts';
import {
  type ConfigurationSettings,
  isContainerd2,
} from '../../lib/hosts/configuration-settings.ts';
import type { InstallSettings } from '../../lib/install/install-settings.ts';
import type { Finding } from '../../lib/install/system/finding.ts';
import {
  CONFIGURATION_UNIT,
  type InstallContents,
  SERVICE_UNIT,
  SETTINGS_PATH_UNIT,
  SETTINGS_UNIT,
  SOCKET_UNIT,
} from '../../lib/install/system/layout.ts';
import { type Listener, socketUnit } from '../../lib/install/system/socket-unit.ts';
import { CONFIGURATION_OPTIONS } from '../options/configuration-options.ts';
import type { Environment } from '../options/option.ts';
import { readOptions } from '../options/read-options.ts';
import { REGISTRY_OPTIONS, type RegistryValues } from '../options/registry-options.ts';
import { withBareNames } from '../options/variables.ts';
import { VERSION } from '../process/build.ts';
import { completionsOf } from '../report/completions.ts';
import { configurationSettings } from '../settings/configuration-settings.ts';
import { recordedRun } from '../settings/settings-record.ts';
import { ENVIRONMENT_HEAD, environmentFile } from './environment-file.ts';
import { firstPeers } from './first-peers.ts';
import { withoutKeyToMake } from './install-network.ts';
import { settingsIn } from './installed-settings.ts';
import type { InstallCall, SettingsPlan } from './plan-settings.ts';
import { withRefusedFlags } from './refused-flags.ts';
import { type CheckedSettings, checkSettings, readLeniently } from './settings-findings.ts';
import { pathsInSettings } from './settings-paths.ts';

/** The settings of `install` from those that the services will have. */
export async function installSettings(
  { values, context }: InstallCall,
  plan: SettingsPlan,
): Promise<InstallSettings> {
  const { network, containerd, settingsToWrite, flagSettings, serviceEnvironment } = plan;
  const { serviceValues, mirrorValues, findings } = await checkSettings(
    serviceEnvironment,
    plan.textAfter,
    plan.configurationEnvironment,
  );
  return {
    contents: {
      executable: process.execPath,
      units: unitTexts(serviceValues),
      environmentFile: (set) => environmentFile({ ...settingsToWrite, ...set }),
      completions: completionsOf(context.commands),
      networkKey: network.file,
    },
    containerd,
    version: VERSION,
    hostsPaths: mirrorValues.containerdRegistryConfigPath,
    pathsInSettings: pathsInSettings({ serviceValues, mirrorValues }, plan.startEnvironment),
    mirrors: mirrorSettings(mirrorValues),
    recordedContainerd2: isContainerd2(recordedRun()?.env.CONTAINERD_VERSION),
    registry: { option: 'REGISTRY_ADDR', ...serviceValues.registryAddr },
    router: { option: 'ROUTER_ADDR', ...serviceValues.routerAddr },
    metrics: { option: 'METRICS_ADDR', ...serviceValues.metricsAddr },
    otherListeners: httpListeners(serviceValues),
    firstPeers: await firstPeers(serviceValues),
    isClosed: serviceValues.networkKeyFile !== undefined,
    optionVariables: Object.values(REGISTRY_OPTIONS).flatMap(({ env }) => env ?? []),
    settingsToWrite,
    flagSettings: { ...withBareNames(flagSettings, [REGISTRY_OPTIONS]), ...network.flags },
    environmentHead: ENVIRONMENT_HEAD,
    resultingSettings: plan.resultingSettings,
    metricsIn,
    settingFindings: [...network.findings, ...(await settingFindings(findings, plan))],
    start: values.start,
    isCheck: values.check,
  };
}

/** The texts of the units. scripts/package/pack.ts puts them into the executable. */
function unitTexts({ registryAddr }: RegistryValues): InstallContents['units'] {
  return {
    [SERVICE_UNIT]: getAsset(SERVICE_UNIT, 'utf8'),
    [CONFIGURATION_UNIT]: getAsset(CONFIGURATION_UNIT, 'utf8'),
    [SETTINGS_PATH_UNIT]: getAsset(SETTINGS_PATH_UNIT, 'utf8'),
    [SETTINGS_UNIT]: getAsset(SETTINGS_UNIT, 'utf8'),
    [SOCKET_UNIT]: socketUnit(getAsset(SOCKET_UNIT, 'utf8'), registryAddr),
  };
}

/** The findings about the settings. Those that only the flags of this call bring name the flags. */
async function settingFindings(
  findings: readonly Finding[],
  { isNew, textBefore, network, flagSettings }: SettingsPlan,
): Promise<Finding[]> {
  const before = isNew ? [] : (await checkSettings(settingsIn(textBefore), textBefore)).findings;
  const flags = { ...flagSettings, ...network.flags };
  return withRefusedFlags(withoutKeyToMake(findings, network), before, flags);
}

/**
 * The mirror settings. Values that contradict each other are reported elsewhere: the defaults
 * replace them.
 */
function mirrorSettings(values: CheckedSettings['mirrorValues']): ConfigurationSettings {
  try {
    return configurationSettings(values);
  } catch (error) {
    if (!(error instanceof SpegelError)) throw error;
    const { containerdRegistryConfigPath } = values;
    const fallback = readOptions(CONFIGURATION_OPTIONS, { basicAuthPath: [''] }, {});
    return configurationSettings({ ...fallback, containerdRegistryConfigPath });
  }
}

function metricsIn(env: Environment): Listener | undefined {
  const { values, problems } = readLeniently({ metricsAddr: REGISTRY_OPTIONS.metricsAddr }, env);
  return problems.length > 0 ? undefined : { option: 'METRICS_ADDR', ...values.metricsAddr };
}

function httpListeners({ bootstrapKind, httpBootstrapAddr }: RegistryValues): Listener[] {
  if (!bootstrapKind.includes('http') || httpBootstrapAddr === undefined) return [];
  return [{ option: 'HTTP_BOOTSTRAP_ADDR', ...httpBootstrapAddr }];
}
