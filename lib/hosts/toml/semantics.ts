import { isDeepStrictEqual } from 'node:util';
import { parse } from 'toml';
import { messageOf } from '../../base/errors.ts';
import { LeftAlone } from './left-alone.ts';
import { tomlStatements } from './statements.ts';

type Table = Readonly<Record<string, unknown>>;

/** What a hosts.toml says, in a form that can be compared. */
export interface Meaning {
  readonly root: Table;
  /**
   * Undefined where there is no `host`, not even an empty table: containerd before 2.0 rejects such
   * a file.
   */
  readonly hosts: Table | undefined;
  /** The hosts in containerd's order: by the line that first names them. */
  readonly order: readonly string[];
}

/** Reads a hosts.toml. Throws LeftAlone for text that is no TOML, and where `host` is no table. */
export function meaningOf(text: string): Meaning {
  const { host, ...rest } = parseToml(text);
  if (host === undefined) return { root: table(rest), hosts: undefined, order: [] };
  if (typeof host !== 'object' || host === null || Array.isArray(host)) {
    throw new LeftAlone('expected `host` to hold tables, as in [host."https://mirror.example"]');
  }
  return { root: table(rest), hosts: table(host), order: hostOrder(text) };
}

function parseToml(text: string): Table {
  try {
    return parse(text, { bigint: true }) as Table;
  } catch (error) {
    throw new LeftAlone(`expected TOML, got ${explainSyntax(error)}; correct it`);
  }
}

/**
 * What the parser found, and where. Its own message lists everything that it would have accepted.
 */
function explainSyntax(error: unknown): string {
  const { line, location, found } = (error ?? {}) as {
    readonly line?: number;
    readonly location?: { readonly start: { readonly line: number } };
    readonly found?: string | null;
  };
  if (location === undefined) return `in line ${line}: ${messageOf(error)}`;
  const what = found === null || found === '\n' ? 'an end of the line' : JSON.stringify(found);
  return `${what} in line ${location.start.line} where something else belongs`;
}

/**
 * A table without a prototype, as the parser makes them: `isDeepStrictEqual` compares prototypes.
 */
function table(entries: object): Table {
  return Object.assign(Object.create(null), entries) as Table;
}

function hostOrder(text: string): string[] {
  const names = new Set<string>();
  let current: readonly string[] = [];
  for (const { kind, keys } of tomlStatements(text)) {
    if (kind !== 'pair') current = keys;
    const [first, name] = kind === 'pair' ? [...current, ...keys] : keys;
    if (first === 'host' && name !== undefined) names.add(name);
  }
  return [...names];
}

/** `meaning` with what `added` says in front of its own hosts. */
export function merged(meaning: Meaning, added: Meaning): Meaning {
  return {
    root: table({ ...meaning.root, ...added.root }),
    hosts: meaning.hosts || added.hosts ? table({ ...meaning.hosts, ...added.hosts }) : undefined,
    order: [...added.order, ...meaning.order],
  };
}

/** `meaning` without what `taken` says; a value that is not the same in both stays. */
export function without(meaning: Meaning, taken: Meaning): Meaning {
  const rest = (all: Table, gone: Table) =>
    table(
      Object.fromEntries(
        Object.entries(all).filter(([key, value]) => !isDeepStrictEqual(value, gone[key])),
      ),
    );
  const hosts = rest(meaning.hosts ?? {}, taken.hosts ?? {});
  return {
    root: rest(meaning.root, taken.root),
    hosts: Object.keys(hosts).length > 0 ? hosts : undefined,
    order: meaning.order.filter((name) => name in hosts),
  };
}

/** Throws LeftAlone for what is nested so deeply that it cannot be compared. */
export function isSameMeaning(a: Meaning, b: Meaning): boolean {
  try {
    return isDeepStrictEqual(a, b);
  } catch (error) {
    if (error instanceof RangeError)
      throw new LeftAlone('it is nested too deeply to be understood');
    throw error;
  }
}
