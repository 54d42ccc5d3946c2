import type { NamePattern } from '../../lib/oci/filters.ts';
import { Re2Pattern } from '../../lib/oci/re2-pattern.ts';
import { usageProblem } from './values.ts';

/** Compiles a regular expression of Go's RE2. Throws a usage error for what RE2 refuses. */
export function parsePattern(text: string): NamePattern {
  try {
    return new Re2Pattern(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw usageProblem(`a regular expression such as :latest$ (${reason})`, text);
  }
}

/** An escape, a class, a quoted text or a single character: no separator divides one of these. */
const TOKEN = /\\[\s\S]|\[\^?\]?(?:\\[\s\S]|[^\]\\])*\]|"(?:[^"]|"")*"|[\s\S]/g;

/**
 * Divides a list of patterns at commas and spaces, but not inside `{1,3}`, `[,]`, `(a, b)` or after
 * a backslash. Double quotes around a pattern are removed, as Go's CSV reader does in environment
 * variables.
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
