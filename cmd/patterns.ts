import { usageProblem } from './values.ts';

/** Flags that RE2 writes in front of a pattern, `(?i)`, and JavaScript behind it. */
const LEADING_FLAGS = /^\(\?([ims]+)\)/;

/** What JavaScript's unicode mode lets be escaped outside of classes; RE2 allows any punctuation. */
const ESCAPABLE = '^$\\.*+?()[]{}|/';

/**
 * Compiles a regular expression as Go Spegel's users wrote it (RE2). Where the two languages differ it is
 * translated or refused, never taken to mean something else: a filter that silently matches nothing shares
 * what was to be kept private. Unicode mode does most of that, it knows no escape without a meaning.
 */
export function parsePattern(text: string): RegExp {
  const flags = LEADING_FLAGS.exec(text)?.[1] ?? '';
  const body = translate(text.replace(LEADING_FLAGS, ''), flags.includes('m'));
  try {
    return new RegExp(body, [...new Set(`u${flags}`)].join(''));
  } catch (error) {
    // V8 says "Invalid regular expression: /<body>/u: <reason>".
    const reason = String(error).slice(String(error).lastIndexOf(': ') + 2);
    throw usageProblem(`a regular expression such as :latest$ (${reason})`, text);
  }
}

function translate(body: string, multiline: boolean): string {
  return body.replace(/\(\?P<|\\([\s\S])/g, (token, character: string | undefined) => {
    if (character === undefined) return '(?<';
    if (character === 'A' && !multiline) return '^';
    if (character === 'z' && !multiline) return '$';
    // Unicode mode knows an escaped hyphen in classes only, its number everywhere.
    if (character === '-') return '\\x2d';
    const isPunctuation = /[^\p{L}\p{N}\s]/u.test(character);
    return isPunctuation && !ESCAPABLE.includes(character) ? character : token;
  });
}

/** One escape, one class, one quoted text, or one character: what a separator cannot be inside of. */
const TOKEN = /\\[\s\S]|\[\^?\]?(?:\\[\s\S]|[^\]\\])*\]|"(?:[^"]|"")*"|[\s\S]/g;

/**
 * Takes a list of patterns apart at commas and spaces, but not inside `{1,3}`, `[,]`, `(a, b)` or behind a
 * backslash. Double quotes around a pattern are taken off, as Go's CSV reader does in environment variables.
 */
export function splitPatterns(text: string): readonly string[] {
  const patterns: string[] = [];
  let current = '';
  let depth = 0;
  for (const token of text.match(TOKEN) ?? []) {
    if (depth === 0 && /^[\s,]$/.test(token)) {
      if (current !== '') patterns.push(current);
      current = '';
      continue;
    }
    if (token === '(' || token === '{') depth += 1;
    if (token === ')' || token === '}') depth = Math.max(0, depth - 1);
    const isQuoted = current === '' && token.length > 1 && token.startsWith('"');
    current += isQuoted ? token.slice(1, -1).replaceAll('""', '"') : token;
  }
  return current === '' ? patterns : [...patterns, current];
}
