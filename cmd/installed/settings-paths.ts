import {
  CONFIGURATION_UNIT,
  type PathsByUnit,
  SERVICE_UNIT,
} from '../../lib/install/system/layout.ts';
import type { Environment } from '../options/option.ts';
import type { CheckedSettings } from './settings-findings.ts';

/** Where OpenSSL looks for certificates, if set: a file, and directories. */
const CERTIFICATES = ['SSL_CERT_FILE', 'SSL_CERT_DIR'] as const;

/**
 * Files and directories that the settings of the services name, apart from hosts.toml files. `env`:
 * the environment of the service.
 */
export function pathsInSettings(
  { serviceValues, mirrorValues }: Pick<CheckedSettings, 'serviceValues' | 'mirrorValues'>,
  env: Environment,
): PathsByUnit {
  return {
    [SERVICE_UNIT]: absolute([
      serviceValues.networkKeyFile,
      serviceValues.staticBootstrapPeersFile,
      serviceValues.ociLayoutPath,
      serviceValues.containerdContentPath,
      serviceValues.dataDir,
      ...serviceValues.containerdRegistryConfigPath,
      // The service checks what the other unit would write.
      mirrorValues.basicAuthPath,
      ...CERTIFICATES.flatMap((name) => env[name]?.split(':')),
    ]),
    [CONFIGURATION_UNIT]: absolute([mirrorValues.basicAuthPath]),
  };
}

function absolute(paths: readonly (string | undefined)[]): string[] {
  return paths.filter((path): path is string => path?.startsWith('/') === true);
}
