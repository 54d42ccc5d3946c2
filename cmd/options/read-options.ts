import { SpegelError } from '../../lib/base/errors.ts';
import type { Environment, Given, GivenOptions, Option, OptionTable, ValuesOf } from './option.ts';
import { findVariable } from './variables.ts';

/**
 * Makes the values of a table: the flag where it was given, else the environment, else the default.
 * Throws a SpegelError ERR_OPTION_VALUE whose message begins with the flag or variable that was wrong.
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

/** A flag that is repeated counts once, the last time, unless it is a list. */
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
