import { CONFIGURATION, type PathsOfUnits, SERVICE } from '../../lib/install/system/layout.ts';
import type { Environment } from '../options/option.ts';
import type { ServiceLook } from './settings-findings.ts';

/** Where OpenSSL finds certificates instead of its own places: a file, and directories. */
const CERTIFICATES = ['SSL_CERT_FILE', 'SSL_CERT_DIR'] as const;

/**
 * Files and directories that the settings of the services name, besides those of hosts.toml files.
 * `env`: the environment of the service.
 */
export function setPaths(
  { host, mirrors }: Pick<ServiceLook, 'host' | 'mirrors'>,
  env: Environment,
): PathsOfUnits {
  return {
    [SERVICE]: absolute([
      host.networkKeyFile,
      host.staticBootstrapPeersFile,
      host.ociLayoutPath,
      host.containerdContentPath,
      host.dataDir,
      ...host.containerdRegistryConfigPath,
      // The service foresees what the other unit would write.
      mirrors.basicAuthPath,
      ...CERTIFICATES.flatMap((name) => env[name]?.split(':')),
    ]),
    [CONFIGURATION]: absolute([mirrors.basicAuthPath]),
  };
}

function absolute(paths: readonly (string | undefined)[]): string[] {
  return paths.filter((path): path is string => path?.startsWith('/') === true);
}
