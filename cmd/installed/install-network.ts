import { existsSync } from 'node:fs';
import type { InstallReport } from '../../lib/install/install.ts';
import type { InstallSettings } from '../../lib/install/install-settings.ts';
import {
  decideNetwork,
  type NetworkDecision,
} from '../../lib/install/settings/network-decision.ts';
import type { Finding } from '../../lib/install/system/finding.ts';
import { SERVICE_FILE } from '../../lib/install/system/layout.ts';
import { MAX_KEY_FILE_BYTES } from '../../lib/network-key/constants.ts';
import type { INSTALL_OPTIONS } from '../options/install-options.ts';
import type { Environment, ValuesOf } from '../options/option.ts';
import type { Context } from '../process/command.ts';
import { readStandardInput } from '../process/standard-input.ts';

type Values = Pick<
  ValuesOf<typeof INSTALL_OPTIONS>,
  'newNetworkKey' | 'networkKeyFile' | 'openNetwork'
>;

export interface InstallNetwork extends NetworkDecision {
  /** Whether this host had a service with settings before this call. */
  readonly wasInstalled: boolean;
}

/**
 * Decides which hosts may take part in the network, from the flags and the earlier decision.
 * `settings` are those of the service; `hasSettings`: its file exists.
 */
export async function decideInstallNetwork(
  { newNetworkKey: isKeyNew, networkKeyFile: keyFrom, openNetwork: isOpen }: Values,
  { settings, hasSettings }: { readonly settings: Environment; readonly hasSettings: boolean },
  { context, signal }: { readonly context: Context; readonly signal: AbortSignal },
): Promise<InstallNetwork> {
  // An installation may have been ended before it wrote the settings: then the earlier decision is
  // unknown.
  const wasInstalled = hasSettings && existsSync(SERVICE_FILE);
  const decision = await decideNetwork(
    { isKeyNew, keyFrom, isOpen },
    { isInstalled: wasInstalled, settings },
    () => readStandardInput(context, MAX_KEY_FILE_BYTES, signal),
  );
  return { ...decision, wasInstalled };
}

/** The findings without the one about a missing key file, if this call makes the file. */
export function withoutKeyToMake(
  findings: readonly Finding[],
  { file }: NetworkDecision,
): readonly Finding[] {
  return file === undefined ? findings : findings.filter(({ about }) => about !== 'network-key');
}

/** The command for the other hosts of the network; undefined: this call has made no key. */
export async function commandForOthers(
  { file, flags, wasInstalled }: InstallNetwork,
  { resultingSettings, router, isCheck }: InstallSettings,
  { changes }: InstallReport,
): Promise<string | undefined> {
  const isMade = file !== undefined && changes.some(({ path }) => path === file.path);
  if (!isMade || isCheck || flags.NEW_NETWORK_KEY === undefined) return undefined;
  const { joinCommand } = await import('../../lib/install/settings/other-hosts.ts');
  return await joinCommand(file.path, resultingSettings, {
    isNew: !wasInstalled,
    routerPort: router.port,
  });
}
