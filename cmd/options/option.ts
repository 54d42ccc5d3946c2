import { usageProblem } from './values.ts';

/** What the command line held for one flag: its values in order, or true when it came without any. */
export type Given = readonly string[] | true | undefined;
export type GivenOptions = Readonly<Record<string, Given>>;
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * One option of a command. Values are written as in Go Spegel (go-arg): `--flag value` or `--flag=value`;
 * a list takes several words, commas or repetition; a switch may be written `--flag=false`.
 */
export interface Option<T> {
  readonly flag: `--${string}`;
  /**
   * Environment variable that is read when the flag is absent, with the prefix SPEGEL_ before the
   * bare name; empty counts as unset unless `emptyCounts`.
   */
  readonly env: string | undefined;
  /** An empty variable is a value, or a mistake that must not go unnoticed. */
  readonly emptyCounts?: boolean;
  readonly form: 'value' | 'list' | 'switch';
  /** What stands for the value in the help text. */
  readonly placeholder: string;
  /** Words that a shell may offer for the value. */
  readonly choices?: readonly string[];
  /** Heading in the help text. */
  readonly group: string;
  readonly help: string;
  /** The default, written as a user would write it; undefined: the option is absent unless it is given. */
  readonly fallback: string | undefined;
  /** Makes the value of the texts that came: one for a value or switch, any number for a list. */
  readonly parse: (texts: readonly string[]) => T;
}

export type OptionTable = Readonly<Record<string, Option<unknown>>>;
export type ValuesOf<T extends OptionTable> = {
  readonly [K in keyof T]: T[K] extends Option<infer V> ? V : never;
};

interface Description {
  readonly flag: `--${string}`;
  readonly placeholder: string;
  readonly choices?: readonly string[];
  readonly group: string;
  readonly help: string;
  /** Only where the name of the flag would be no good name for a variable: `env: undefined`. */
  readonly env?: undefined;
  readonly emptyCounts?: boolean;
}

/** An option with one value. */
export function single<T>(
  description: Description & { readonly fallback: string; readonly parse: (text: string) => T },
): Option<T> {
  return {
    ...described(description),
    form: 'value',
    parse: ([text = '']) => description.parse(text),
  };
}

/** An option with one value and no default. */
export function optional<T>(
  description: Description & { readonly parse: (text: string) => T },
): Option<T | undefined> {
  const parse = ([text]: readonly string[]) =>
    text === undefined ? undefined : description.parse(text);
  return { ...described(description), form: 'value', fallback: undefined, parse };
}

/** An option with any number of values; `split` takes a text apart, at commas and spaces unless told. */
export function list<T>(
  description: Description & {
    readonly fallback?: string;
    readonly parse: (text: string) => T;
    readonly split?: (text: string) => readonly string[];
  },
): Option<readonly T[]> {
  const { fallback = '', split = splitWords } = description;
  const parse = (texts: readonly string[]) =>
    texts.flatMap((text) => split(text)).map((text) => description.parse(text));
  return { ...described(description), form: 'list', fallback, parse };
}

/** An option that is true or false. */
export function toggle(
  description: Omit<Description, 'placeholder'> & { readonly fallback: 'true' | 'false' },
): Option<boolean> {
  const parse = ([text = description.fallback]: readonly string[]) => parseSwitch(text);
  return { ...described({ ...description, ...BOOL }), form: 'switch', parse };
}

/** An option that is true or false, and has no default. */
export function optionalToggle(
  description: Omit<Description, 'placeholder'>,
): Option<boolean | undefined> {
  const parse = ([text]: readonly string[]) => (text === undefined ? undefined : parseSwitch(text));
  return {
    ...described({ ...description, ...BOOL }),
    form: 'switch',
    fallback: undefined,
    parse,
  };
}

const BOOL = { placeholder: 'bool', choices: ['true', 'false'] } as const;

/** The name of the environment variable goes with the flag: `--registry-addr` is REGISTRY_ADDR. */
function described<D extends Description>(
  description: D,
): Omit<D, 'env'> & { readonly env: string | undefined } {
  const variable = description.flag.slice(2).toUpperCase().replaceAll('-', '_');
  return { ...description, env: 'env' in description ? undefined : variable };
}

function splitWords(text: string): readonly string[] {
  return text.split(/[\s,]+/).filter((word) => word !== '');
}

/** The spellings of Go's strconv.ParseBool. */
function parseSwitch(text: string): boolean {
  if (/^(?:1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(?:0|f|F|FALSE|false|False)$/.test(text)) return false;
  throw usageProblem('true or false', text);
}
