import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatHostPort } from '../../lib/base/address.ts';
import { codeOf, messageOf, SpegelError } from '../../lib/base/errors.ts';
import {
  type ConfigurationSettings,
  isContainerd2,
} from '../../lib/hosts/configuration-settings.ts';
import { ownTarget } from '../../lib/port/own-target.ts';
import type { CONFIGURATION_OPTIONS } from '../options/configuration-options.ts';
import type { ValuesOf } from '../options/option.ts';
import { chooseRegistries } from '../options/registry-urls.ts';

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

/**
 * The value of an Authorization header (RFC 7617) from the files `username` and `password` in a
 * directory, without the line end of each; undefined: there are none. Throws SpegelError ERR_USAGE
 * if one of them is missing or holds characters that no header can have.
 */
function readBasicAuth(directory: string): string | undefined {
  if (directory === '') return undefined;
  const username = readSecret(join(directory, 'username'));
  const password = readSecret(join(directory, 'password'));
  if (username === undefined && password === undefined) return undefined;
  if (username === undefined || password === undefined) {
    throw problem(directory, 'both a file username and a file password', 'one of them');
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\u0000-\u001F\u007F]/.test(username + password) || username.includes(':')) {
    throw problem(directory, 'one line each, and no colon in the user name', 'other characters');
  }
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function readSecret(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) return undefined;
    throw problem(path, 'a file that can be read', messageOf(error));
  }
}

function problem(path: string, expected: string, got: string): SpegelError {
  return new SpegelError(
    'ERR_USAGE',
    `--basic-auth-path: expected in ${path} ${expected}, got ${got}`,
  );
}
