import { parse } from 'toml';

/**
 * A table header, `[a.b]` or `[[a.b]]`, or an assignment, `a.b = value`, with its place in the
 * text.
 */
export interface TomlStatement {
  readonly kind: 'table' | 'array-table' | 'pair';
  /** Unquoted parts of the dotted key. */
  readonly keys: readonly string[];
  /** Offset of the first character of the statement's line. */
  readonly start: number;
  /** Offset behind the statement's last line and its line end. */
  readonly end: number;
}

/**
 * Where the statements of a TOML document stand, in its order. The text must be one that `toml`
 * parses; the parser gives values without places, and a line that looks like a header may be part
 * of a string.
 */
export function tomlStatements(text: string): TomlStatement[] {
  const statements: TomlStatement[] = [];
  let at = text.startsWith('\uFEFF') ? 1 : 0;
  while (at < text.length) {
    const start = at;
    at = skip(text, /[ \t]*/y, at);
    const first = text[at];
    if (first === undefined || first === '#' || first === '\n' || first === '\r') {
      at = endOfLine(text, at);
      continue;
    }
    const [, opening = ''] = /^(\[{0,2})/.exec(text.slice(at, at + 2)) ?? [];
    const keys: string[] = [];
    at = readKeys(text, at + opening.length, keys);
    // Behind the key: `]` or `]]` of a header, `=` and the value of an assignment.
    at = endOfStatement(text, at + Math.max(opening.length, 1));
    statements.push({ kind: KINDS[opening.length] ?? 'pair', keys, start, end: at });
  }
  return statements;
}

const KINDS = ['pair', 'table', 'array-table'] as const;

/** Reads a dotted key into `keys`; gives the offset behind it and its blanks. */
function readKeys(text: string, from: number, keys: string[]): number {
  let at = from;
  for (;;) {
    at = skip(text, /[ \t]*/y, at);
    const end = /["']/.test(text[at] ?? '') ? endOfString(text, at) : skip(text, /[^\s.=\]]*/y, at);
    keys.push(unquoted(text.slice(at, end)));
    at = skip(text, /[ \t]*/y, end);
    if (text[at] !== '.') return at;
    at += 1;
  }
}

function unquoted(key: string): string {
  return /^["']/.test(key) ? String((parse(`key = ${key}`) as { key: unknown }).key) : key;
}

/**
 * The offset behind the line that ends a value: strings, arrays and inline tables may span lines.
 */
function endOfStatement(text: string, from: number): number {
  let depth = 0;
  let at = from;
  while (at < text.length) {
    const character = text[at] ?? '';
    if (character === '"' || character === "'") {
      at = endOfString(text, at);
      continue;
    }
    if (character === '#') {
      at = skip(text, /[^\n]*/y, at);
      continue;
    }
    if (character === '[' || character === '{') depth += 1;
    if (character === ']' || character === '}') depth -= 1;
    at += 1;
    if (character === '\n' && depth === 0) return at;
  }
  return at;
}

const STRINGS = [
  // Up to two quotes may stand directly in front of the closing three.
  /"""(?:\\[\s\S]|[^\\])*?"""(?!")/y,
  /'''[\s\S]*?'''(?!')/y,
  /"(?:\\.|[^"\\\n])*"/y,
  /'[^'\n]*'/y,
];

/** The offset behind the string that begins here. */
function endOfString(text: string, at: number): number {
  for (const string of STRINGS) {
    const end = skip(text, string, at);
    if (end > at) return end;
  }
  return at + 1;
}

function endOfLine(text: string, at: number): number {
  const newline = text.indexOf('\n', at);
  return newline === -1 ? text.length : newline + 1;
}

/** The offset behind what a sticky expression matches here. */
function skip(text: string, expression: RegExp, at: number): number {
  expression.lastIndex = at;
  return expression.test(text) ? expression.lastIndex : at;
}
