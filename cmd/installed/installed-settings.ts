import { readFileSync } from 'node:fs';
import { codeOf, messageOf, SpegelError } from '../../lib/base/errors.ts';
import { ENVIRONMENT_FILE } from '../../lib/install/system/layout.ts';
import { withoutPassword } from '../../lib/proxy/go-proxy.ts';
import { parseEnvironmentFile } from '../../lib/systemd/environment-syntax.ts';
import { CONFIGURATION_OPTIONS } from '../options/configuration-options.ts';
import type { Environment, GivenOptions, OptionTable, ValuesOf } from '../options/option.ts';
import { readOptions } from '../options/read-options.ts';
import { REGISTRY_OPTIONS } from '../options/registry-options.ts';
import { variablesOf, withBareNames } from '../options/variables.ts';
import type { Context } from '../process/command.ts';

/** The settings in /etc/spegel/spegel.env, by the bare names. Empty if there is no such file. */
export function installedEnvironment(): Environment {
  return settingsIn(installedText() ?? '');
}

/** The settings in a text of /etc/spegel/spegel.env, by the bare names. */
export function settingsIn(text: string): Environment {
  return withBareNames(parseEnvironmentFile(text), [REGISTRY_OPTIONS, CONFIGURATION_OPTIONS]);
}

/** The text of /etc/spegel/spegel.env; undefined where there is no such file. */
export function installedText(): string | undefined {
  try {
    return readFileSync(ENVIRONMENT_FILE, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new SpegelError('ERR_INSTALL', `${ENVIRONMENT_FILE}: ${messageOf(error)}`);
  }
}

/** The settings without the passwords of proxies. NO_PROXY is a list, not a URL. */
export function withoutPasswords(env: Environment): Environment {
  const isUrl = (name: string) => /_proxy$/i.test(name) && !/^no_/i.test(name);
  return Object.fromEntries(
    Object.entries(env).map(([name, value = '']) => [
      name,
      isUrl(name) && value !== '' ? withoutPassword(value) : value,
    ]),
  );
}

/**
 * The values that a service has with this environment. Throws SpegelError ERR_INSTALL for a wrong
 * value.
 */
export function installedValues<T extends OptionTable>(table: T, env: Environment): ValuesOf<T> {
  try {
    return readOptions(table, {}, env);
  } catch (error) {
    throw new SpegelError('ERR_INSTALL', `${ENVIRONMENT_FILE}: ${messageOf(error)}; correct it`);
  }
}

/**
 * The variables that the file sets and this call of a command does not read, although the service
 * does.
 */
export function settingsNotRead(
  table: OptionTable,
  given: GivenOptions,
  env: Environment,
  installed: Environment,
): string[] {
  return Object.entries(table).flatMap(([key, { env: name }]) => {
    const isHeeded =
      name === undefined ||
      given[key] !== undefined ||
      variablesOf(name).some((variable) => env[variable] !== undefined);
    return isHeeded || name === 'LOG_LEVEL' || !installed[name]?.trim() ? [] : [name];
  });
}

/** Tells on stderr which settings of the file this command does not read, and how to apply them. */
export function noteSettingsNotRead(
  table: OptionTable,
  given: GivenOptions,
  { env, stderr }: Pick<Context, 'env' | 'stderr'>,
  verb: 'restart' | 'stop',
): void {
  const names = settingsNotRead(table, given, env, installedEnvironmentIfReadable());
  if (names.length === 0) return;
  stderr(
    `spegel: note: ${ENVIRONMENT_FILE} sets ${names.join(', ')}, which this command does not read; with it: systemctl ${verb} spegel-configuration\n`,
  );
}

/**
 * The settings as `installedEnvironment` returns them. Empty without the right to read the file.
 */
export function installedEnvironmentIfReadable(): Environment {
  try {
    return installedEnvironment();
  } catch {
    return {};
  }
}
