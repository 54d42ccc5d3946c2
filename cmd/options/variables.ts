import { parseEnvironmentFile } from '../../lib/systemd/environment-syntax.ts';
import type { Environment, OptionTable } from './option.ts';

/** `ADDR` or `TIMEOUT` in a shell may be anybody's: what is ours alone begins so, and wins. */
const PREFIX = 'SPEGEL_';
/**
 * What Kubernetes puts into every container for a Service of that name (docs, Services, Discovering
 * services).
 */
const SERVICE_LINK =
  /_(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_.*)?)?)$/;

/** An option's variables, the one that wins first. */
export function variablesOf(name: string): readonly [string, string] {
  return [PREFIX + name, name];
}

/**
 * The variable of an option that counts, and its text; undefined: none is set. One that is empty
 * counts as unset, unless `emptyCounts`.
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

/** Whether a name begins as ours do, and is none of any command's: a typing error. */
export function isUnknown(name: string, tables: readonly OptionTable[]): boolean {
  if (!name.startsWith(PREFIX) || SERVICE_LINK.test(name)) return false;
  const known = new Set(optionsOf(tables).map(({ env }) => env));
  return !known.has(name.slice(PREFIX.length));
}

/** What is said of the variables that begin as ours do and are none, a line each. */
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
 * Settings under the names that count in the text of an environment file: the bare ones would
 * change nothing there.
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

/**
 * The variables with a prefix under the bare names of their options, so that a reader of a file
 * finds them.
 */
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
