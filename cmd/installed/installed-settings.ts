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

/** The settings in /etc/spegel/spegel.env, by the bare names; none where there is no such file. */
export function installedEnvironment(): Environment {
  return settingsIn(installedText() ?? '');
}

/** What a text of /etc/spegel/spegel.env sets, by the bare names. */
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

/** The settings as they may be printed: a proxy may hold a password, and NO_PROXY is a list. */
export function withoutPasswords(env: Environment): Environment {
  const isUrl = (name: string) => /_proxy$/i.test(name) && !/^no_/i.test(name);
  return Object.fromEntries(
    Object.entries(env).map(([name, value = '']) => [
      name,
      isUrl(name) && value !== '' ? withoutPassword(value) : value,
    ]),
  );
}

/** The values with which a service runs, or will run. Throws when the file has one that is wrong. */
export function installedValues<T extends OptionTable>(table: T, env: Environment): ValuesOf<T> {
  try {
    return readOptions(table, {}, env);
  } catch (error) {
    throw new SpegelError('ERR_INSTALL', `${ENVIRONMENT_FILE}: ${messageOf(error)}; correct it`);
  }
}

/**
 * The variables of a command that the file sets, and that this call does not have: made by hand, it does otherwise
 * than the service with that file. Empty when the service itself makes it.
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

/** Says on stderr which settings of the file do not count here, and what makes them count. */
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

/** As `installedEnvironment`; nothing without the right to read it. */
export function installedEnvironmentIfReadable(): Environment {
  try {
    return installedEnvironment();
  } catch {
    return {};
  }
}
