import { formatHostPort } from '../../lib/base/address.ts';
import { SpegelError } from '../../lib/base/errors.ts';
import type { ConfigurationSettings } from '../../lib/hosts/configuration-settings.ts';
import { isContainerd2 } from '../../lib/hosts/containerd-version.ts';
import { ownTarget } from '../../lib/port/own-target.ts';
import type { CONFIGURATION_OPTIONS } from '../options/configuration-options.ts';
import type { ValuesOf } from '../options/option.ts';
import { chooseRegistries } from '../options/registry-urls.ts';
import { readBasicAuth } from './basic-auth.ts';
/**
 * The settings of `spegel configuration`. Throws SpegelError ERR_USAGE for values that contradict
 * each other.
 */
export function configurationSettings(
  values: ValuesOf<typeof CONFIGURATION_OPTIONS>,
): ConfigurationSettings {
  return {
    ...chooseRegistries(values.mirroredRegistries, values.excludedRegistries),
    targets: mirrorTargets(values),
    resolveTags: values.resolveTags,
    dialTimeoutMs: values.dialTimeout,
    authorization: readBasicAuth(values.basicAuthPath),
    prependExisting: values.prependExisting,
    isContainerd2: isContainerd2(values.containerdVersion),
  };
}

function mirrorTargets({
  mirrorTargets: given,
  registryAddr,
}: Pick<ValuesOf<typeof CONFIGURATION_OPTIONS>, 'mirrorTargets' | 'registryAddr'>) {
  if (given.length > 0) return [...new Set(given)];
  const own = ownTarget(registryAddr);
  if (own !== undefined) return [own];
  const { host, port } = registryAddr;
  throw new SpegelError(
    'ERR_USAGE',
    `--mirror-targets: expected a URL that leads to --registry-addr ${formatHostPort(host, port)}, which none follows from, got none`,
  );
}
