import { readFileSync } from 'node:fs';
import { codeOf, messageOf, SpegelError } from '../lib/base/errors.ts';
import { ENVIRONMENT_FILE } from '../lib/install/layout.ts';
import type { Environment } from './option.ts';
import { readOptions } from './option.ts';
import { REGISTRY_OPTIONS } from './options.ts';

/** What a service with `EnvironmentFile=` this file would have in its environment: systemd.exec(5), on one line each. */
export function parseEnvironmentFile(text: string): Record<string, string> {
  const env: Record<string, string> = {};
  for (const line of text.replaceAll(/\\\r?\n/g, '').split(/\r?\n/)) {
    const [, name, value = ''] = /^\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line) ?? [];
    if (name !== undefined) env[name] = unquoted(value.trim());
  }
  return env;
}

function unquoted(text: string): string {
  const [, single, double] = /^(?:'([^']*)'|"((?:[^"\\]|\\.)*)")$/s.exec(text) ?? [];
  if (single !== undefined) return single;
  return (double ?? text).replaceAll(/\\(.)/g, '$1');
}

/** The settings in /etc/spegel/spegel.env; none where there is no such file. */
export function installedEnvironment(): Environment {
  try {
    return parseEnvironmentFile(readFileSync(ENVIRONMENT_FILE, 'utf8'));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return {};
    throw new SpegelError('ERR_INSTALL', `${ENVIRONMENT_FILE}: ${messageOf(error)}`);
  }
}

/** The values with which the service runs, or will run. Throws when the file has one that is wrong. */
export function installedValues(env: Environment) {
  try {
    return readOptions(REGISTRY_OPTIONS, {}, env);
  } catch (error) {
    throw new SpegelError('ERR_INSTALL', `${ENVIRONMENT_FILE}: ${messageOf(error)}; correct it`);
  }
}
