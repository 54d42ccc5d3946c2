import { existsSync } from 'node:fs';
import { isOpenOnPurpose } from '../../lib/install/settings/network-decision.ts';
import { NETWORK_KEY_FILE } from '../../lib/install/system/layout.ts';
import type { Environment } from '../options/option.ts';

/**
 * The key file of an installation that no setting names. It closes the network all the same:
 * settings that are lost, behind a broken link for example, must not open it. `env` is the
 * service's. Undefined: there is no such file, or the settings say that the network is open.
 */
export function unnamedKeyFile(env: Environment, path = NETWORK_KEY_FILE): string | undefined {
  return !isOpenOnPurpose(env) && existsSync(path) ? path : undefined;
}
