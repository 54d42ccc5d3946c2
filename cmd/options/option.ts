import { usageProblem } from './values.ts';

/** The values of a flag on the command line, in order; true if it came without a value. */
export type Given = readonly string[] | true | undefined;
export type GivenOptions = Readonly<Record<string, Given>>;
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * An option of a command. Values are written as in Go Spegel (go-arg): `--flag value` or
 * `--flag=value`. A list takes several words, commas or repetition; a switch may be written
 * `--flag=false`.
 */
export interface Option<T> {
  readonly flag: `--${string}`;
  /**
   * The environment variable that is read when the flag is missing. With the prefix SPEGEL_ it wins
   * over the bare name. An empty variable counts as unset unless `emptyCounts`.
   */
  readonly env: string | undefined;
  /** True: an empty variable is a value, or a mistake that must be reported. */
  readonly emptyCounts?: boolean;
  readonly form: 'value' | 'list' | 'switch';
  /** The name of the value in the help text. */
  readonly placeholder: string;
  /** The words that a shell may offer as values. */
  readonly choices?: readonly string[];
  /** The heading in the help text. */
  readonly group: string;
  readonly help: string;
  /** The default, as a user would write it; undefined: an option that is not given has no value. */
  readonly fallback: string | undefined;
  /** Parses the given texts: one for a value or switch, any number for a list. */
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
  /** `env: undefined` where the name of the flag would be a poor name for a variable. */
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

/** An option with any number of values. `split` divides a text, by default at commas and spaces. */
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

/**
 * Adds the name of the variable, which follows from the flag: REGISTRY_ADDR from `--registry-addr`.
 */
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
