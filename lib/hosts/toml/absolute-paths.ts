import { resolve } from 'node:path';
import { parse } from 'toml';
import { tomlStatements } from './statements.ts';

const PATH_KEYS: readonly (string | undefined)[] = ['ca', 'client'];

/**
 * The text of a hosts.toml in this directory with the relative paths of certificates made absolute,
 * so that it means the same in another directory. The text must be TOML.
 */
export function withAbsolutePaths(text: string, directory: string): string {
  let table: readonly string[] = [];
  let at = 0;
  let made = '';
  for (const { kind, keys, start, end } of tomlStatements(text)) {
    if (kind !== 'pair') table = keys;
    const isOwn = table.length === 0 || (table[0] === 'host' && table.length === 2);
    if (kind !== 'pair' || !isOwn || keys.length !== 1 || !PATH_KEYS.includes(keys[0])) continue;
    const [value] = Object.values(parse(text.slice(start, end)) as Record<string, unknown>);
    made += `${text.slice(at, start)}${keys[0]} = ${absolute(value, directory)}\n`;
    at = end;
  }
  return made + text.slice(at);
}

/** The value as TOML. JSON's arrays of strings are TOML. */
function absolute(value: unknown, directory: string): string {
  if (Array.isArray(value)) {
    return `[${value.map((one) => absolute(one, directory)).join(', ')}]`;
  }
  return JSON.stringify(typeof value === 'string' ? resolve(directory, value) : value);
}
