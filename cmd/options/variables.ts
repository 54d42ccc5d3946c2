import { parseEnvironmentFile } from '../../lib/systemd/environment-syntax.ts';
import type { Environment, OptionTable } from './option.ts';

/**
 * `ADDR` or `TIMEOUT` in a shell may belong to any program. A name with this prefix is ours, and
 * wins.
 */
const PREFIX = 'SPEGEL_';
/**
 * Variables that Kubernetes sets in every container for a Service of that name (documentation of
 * Services).
 */
const SERVICE_LINK =
  /_(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_.*)?)?)$/;

/** The variables of an option, the one that wins first. */
export function variablesOf(name: string): readonly [string, string] {
  return [PREFIX + name, name];
}

/**
 * The variable of an option that counts, with its text; undefined: none is set. An empty one counts
 * as unset, unless `emptyCounts`.
 */
export function findVariable(
  name: string,
  env: Environment,
  emptyCounts: boolean,
): { readonly name: string; readonly text: string } | undefined {
  for (const variable of variablesOf(name)) {
    const text = env[variable]?.trim() === '' ? '' : env[variable];
    if (text !== undefined && (text !== '' || emptyCounts)) return { name: variable, text };
  }
  return undefined;
}

/** Whether a name has our prefix and belongs to no option: a typing error. */
export function isUnknown(name: string, tables: readonly OptionTable[]): boolean {
  if (!name.startsWith(PREFIX) || SERVICE_LINK.test(name)) return false;
  const known = new Set(optionsOf(tables).map(({ env }) => env));
  return !known.has(name.slice(PREFIX.length));
}

/** One message for each variable that has our prefix and belongs to no option. */
export function unknownVariables(env: Environment, tables: readonly OptionTable[]): string[] {
  return Object.keys(env)
    .filter((name) => isUnknown(name, tables))
    .sort()
    .map(
      (name) =>
        `${name}: expected the variable of an option behind ${PREFIX}, got none of that name; see 'spegel help'`,
    );
}

/**
 * Settings under the names that count in the text of an environment file: if the file has the name
 * with the prefix, the bare name would change nothing.
 */
export function spelledAsIn(text: string, settings: Environment): Environment {
  const set = parseEnvironmentFile(text);
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [
      set[PREFIX + name] ? PREFIX + name : name,
      value,
    ]),
  );
}

/** The variables with the prefix under the bare names of their options. */
export function withBareNames(env: Environment, tables: readonly OptionTable[]): Environment {
  const bare: Record<string, string | undefined> = { ...env };
  for (const { env: name, emptyCounts } of optionsOf(tables)) {
    if (name === undefined) continue;
    const found = findVariable(name, env, emptyCounts === true);
    delete bare[PREFIX + name];
    if (found !== undefined) bare[name] = found.text;
  }
  return bare;
}

function optionsOf(tables: readonly OptionTable[]) {
  return tables.flatMap((table) => Object.values(table));
}
