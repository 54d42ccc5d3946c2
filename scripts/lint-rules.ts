import { TEXT_OR_COMMENT } from './source-text.ts';

/** One place that breaks a convention. */
export interface Problem {
  readonly path: string;
  /** Counted from 1. */
  readonly line: number;
  readonly message: string;
}

export interface SourceFile {
  /** Relative to the root of the repository. */
  readonly path: string;
  readonly text: string;
}

/** A comment line by its number, counted from 1. */
interface CommentLine {
  readonly line: number;
  readonly text: string;
}

const MAX_COLUMNS = 100;
export const MAX_LINES = 300;

/** Words that have a field's term, or another of ours, in their place (docs/design/words.md). */
const BANNED_WORDS: ReadonlyMap<RegExp, string> = new Map([
  [/\bherds?\b/i, 'in-flight sharing'],
  [/\bgrowing\b/i, 'in-flight, or ingest'],
  [/\blanes?\b/i, 'endpoint'],
  [/\bpenalt(?:y|ies)\b/i, 'peer health'],
  [/\bpatience\b/i, 'adaptive timeout'],
  [/\b(?:wish|wishes)\b/i, 'desired state'],
  [/\bpeer table\b/i, 'routing table'],
]);

/** The same words inside names of the code. */
const BANNED_IN_NAMES =
  /(?:\bherd|Herd|[gG]rowing[A-Z]|\b[lL]anes?\b|Lane|[pP]enalt|[pP]atience|[wW]ishes|[pP]eerTable)\w*/;

/** A host, a peer and a program are things. */
const PERSONS = /\b(?:who|whom|whoever|he|him|his|she)\b/i;

/** The folders whose comments and documents hold to the words. */
const WORDED = /^(?:cmd|lib|lab|scripts|docs)\//;
/** The rules themselves and their tests name what they forbid. */
const EXEMPT =
  /^(?:scripts\/lint-rules\.ts|test\/scripts\/lint\.test\.ts|docs\/design\/words\.md)$/;
/** Facts and the glossary quote other programs and former names. */
const QUOTING = /^docs\/design\/facts\//;

/** What is wrong in one file, by the rules that need no other file. */
export function problemsOfFile(file: SourceFile, exists: (path: string) => boolean): Problem[] {
  if (EXEMPT.test(file.path)) return [];
  const isSource = file.path.endsWith('.ts');
  const comments = isSource ? commentLines(file.text) : linesOf(file.text);
  return [
    ...(isSource ? tooWide(file.path, comments) : []),
    ...(isSource ? tooLong(file) : []),
    ...(isSource ? forbiddenImports(file) : []),
    ...(isSource ? wrongNames(file) : []),
    ...(QUOTING.test(file.path) ? [] : wrongWords(file.path, comments)),
    ...(QUOTING.test(file.path) ? [] : deadCitations(file.path, comments, exists)),
  ];
}

function linesOf(text: string): CommentLine[] {
  return text.split('\n').map((content, index) => ({ line: index + 1, text: content }));
}

/**
 * The lines that are comments or end in one. Texts are passed over, so that `'// no comment'` is
 * none; a template that spans lines may hide one.
 */
export function commentLines(source: string): CommentLine[] {
  const lines = source.split('\n');
  const found = new Map<number, string>();
  for (const { index, 0: whole, 2: comment } of source.matchAll(TEXT_OR_COMMENT)) {
    if (comment === undefined) continue;
    const first = source.slice(0, index).split('\n').length;
    for (let line = first; line < first + whole.split('\n').length; line++) {
      found.set(line, lines[line - 1] ?? '');
    }
  }
  return [...found].map(([line, text]) => ({ line, text }));
}

function tooWide(path: string, comments: readonly CommentLine[]): Problem[] {
  return comments
    .filter(({ text }) => text.length > MAX_COLUMNS && !/https?:\/\/\S{40}/.test(text))
    .map(({ line, text }) => ({
      path,
      line,
      message: `a comment of ${text.length} columns, more than ${MAX_COLUMNS}`,
    }));
}

function tooLong({ path, text }: SourceFile): Problem[] {
  const lines = text.trimEnd().split('\n').length;
  if (lines <= MAX_LINES) return [];
  return [{ path, line: MAX_LINES, message: `${lines} lines, more than ${MAX_LINES}` }];
}

/** What the product ships, and what scripts share with tests, must not need the tests. */
function forbiddenImports({ path, text }: SourceFile): Problem[] {
  if (!/^(?:cmd|lib|lab|scripts)\//.test(path)) return [];
  const lines = linesOf(text).filter(({ text: code }) => /from '(?:\.\.\/)+test\//.test(code));
  return lines.map(({ line }) => ({ path, line, message: 'imports from test/: move it to lab/' }));
}

function wrongWords(path: string, comments: readonly CommentLine[]): Problem[] {
  if (!WORDED.test(path)) return [];
  return comments.flatMap(({ line, text }) => {
    const prose = text.replace(/`[^`]*`/g, '');
    const banned = [...BANNED_WORDS].filter(([word]) => word.test(prose));
    const person = PERSONS.exec(prose)?.[0];
    return [
      ...banned.map(([word, term]) => `"${word.exec(prose)?.[0]}": the word here is ${term}`),
      ...(person === undefined ? [] : [`"${person}": a host or a peer is "it", "the peer that"`]),
    ].map((message) => ({ path, line, message }));
  });
}

function wrongNames({ path, text }: SourceFile): Problem[] {
  if (!WORDED.test(path)) return [];
  const code = text.replace(TEXT_OR_COMMENT, (whole) => whole.replace(/[^\n]/g, ' '));
  const named = linesOf(code).map(({ line, text: content }) => ({
    line,
    name: BANNED_IN_NAMES.exec(content)?.[0],
  }));
  return named.flatMap(({ line, name }) =>
    name === undefined ? [] : [{ path, line, message: `"${name}": see docs/design/words.md` }],
  );
}

/** A comment must not cite what a reader of this repository cannot open. */
function deadCitations(
  path: string,
  comments: readonly CommentLine[],
  exists: (path: string) => boolean,
): Problem[] {
  const citation =
    /(?<![\w/.:-])((?:cmd|lib|lab|scripts|test|docs|systemd)\/[\w./-]+\.(?:ts|md))\b/g;
  const bare = /(?<![\w/.-])((?:facts|house)\/[\w.-]+\.md|DESIGN\.md)\b/g;
  return comments.flatMap(({ line, text }) => {
    const dead = [...text.matchAll(citation)]
      .map(([, cited = '']) => cited)
      .filter((cited) => !exists(cited));
    const isLink = path.endsWith('.md');
    const outside = isLink ? [] : [...text.matchAll(bare)].map(([, cited = '']) => cited);
    return [...dead, ...outside].map((cited) => ({
      path,
      line,
      message: `cites ${cited}, which is not in this repository`,
    }));
  });
}

/** Names that two files of lib/ and cmd/ export: a reader takes one for the other. */
export function repeatedNames(files: readonly SourceFile[]): Problem[] {
  const first = new Map<string, string>();
  const declared =
    /^export (?:abstract )?(?:async )?(?:class|interface|type|function\*?|const|enum) (\w+)/gm;
  const problems: Problem[] = [];
  for (const { path, text } of files.filter(({ path: at }) => /^(?:cmd|lib)\//.test(at))) {
    for (const { index, 1: name = '' } of text.matchAll(declared)) {
      const other = first.get(name);
      const line = text.slice(0, index).split('\n').length;
      if (other !== undefined && other !== path)
        problems.push({ path, line, message: `exports ${name}, as ${other} does` });
      else first.set(name, path);
    }
  }
  return problems;
}
