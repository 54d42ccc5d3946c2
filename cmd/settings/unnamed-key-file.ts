import { existsSync } from 'node:fs';
import { isOpenOnPurpose } from '../../lib/install/settings/network-decision.ts';
import { NETWORK_KEY_FILE } from '../../lib/install/system/layout.ts';
import type { Environment } from '../options/option.ts';

/**
 * The key file that closes the network of a service although no setting names it: that of an
 * installation. Settings that are gone, a link to nothing say, must not open what was closed.
 * `env` is the service's; undefined: there is no such file, or the settings say that it is open.
 */
export function unnamedKeyFile(env: Environment, path = NETWORK_KEY_FILE): string | undefined {
  return !isOpenOnPurpose(env) && existsSync(path) ? path : undefined;
}
