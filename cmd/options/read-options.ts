import { SpegelError } from '../../lib/base/errors.ts';
import type { Environment, Given, GivenOptions, Option, OptionTable, ValuesOf } from './option.ts';
import { findVariable } from './variables.ts';

/**
 * Returns the values of a table: from the flag, or else the environment, or else the default.
 * Throws SpegelError ERR_OPTION_VALUE with a message that begins with the wrong flag or variable.
 */
export function readOptions<T extends OptionTable>(
  table: T,
  given: GivenOptions,
  env: Environment,
): ValuesOf<T> {
  const values = Object.entries(table).map(([key, option]) => [
    key,
    readOption(option, given[key], env),
  ]);
  return Object.fromEntries(values) as ValuesOf<T>;
}

function readOption<T>(option: Option<T>, given: Given, env: Environment): T {
  if (given !== undefined) return parseFrom(option, option.flag, textsOf(option, given));
  const found =
    option.env === undefined
      ? undefined
      : findVariable(option.env, env, option.emptyCounts === true);
  if (found !== undefined) return parseFrom(option, found.name, [found.text]);
  return option.parse(option.fallback === undefined ? [] : [option.fallback]);
}

/** The last of a repeated flag counts, unless it is a list. */
function textsOf(option: Option<unknown>, given: readonly string[] | true): string[] {
  if (given === true) return option.form === 'switch' ? ['true'] : [];
  return option.form === 'list' ? [...given] : given.slice(-1);
}

function parseFrom<T>(option: Option<T>, origin: string, texts: readonly string[]): T {
  try {
    return option.parse(texts);
  } catch (error) {
    if (!(error instanceof SpegelError)) throw error;
    throw new SpegelError(error.code, `${origin}: ${error.message}`, { cause: error });
  }
}
