import { diffLines } from 'diff';
import { findBlocks, marked } from './block.ts';
import { LeftAlone } from './left-alone.ts';
import { isSameMeaning, meaningOf, merged, without } from './semantics.ts';
import { BYTE_ORDER_MARK, type TomlStatement, tomlStatements } from './statements.ts';

/** What goes into a hosts.toml: lines for its root, and `[host…]` tables. Both may be empty. */
export interface Addition {
  readonly root: string;
  readonly hosts: string;
}

/**
 * The administrator's text with our block in front of the first `[host…]` table and behind the root
 * keys. The administrator's bytes stay as they are. Throws LeftAlone where that cannot be, or would
 * change what the rest says.
 */
export function withBlock(text: string, addition: Addition): string {
  return insertBlock(text, addition, marked(addition.root + hostsBelowRoot(addition)));
}

/**
 * A whole file of ours: `fallback` with the addition in it, all between marks. It is for a registry
 * that gets a directory of its own, which hides what containerd read for it before.
 */
export function ownFile(fallback: string, addition: Addition): string {
  const { root, hosts } = addition;
  // A byte order mark belongs at the beginning of a file, where our mark stands.
  const text = fallback.startsWith(BYTE_ORDER_MARK) ? fallback.slice(1) : fallback;
  const whole =
    root +
    insertBlock(withNewline(text), { root: '', hosts }, root && !text ? `\n${hosts}` : hosts);
  const file = marked(whole);
  // With a second mark in it, our block could not be removed again.
  if (findBlocks(file)?.length !== 1) throw new LeftAlone(HAS_MARK);
  checkMeaning(text, file, addition);
  return file;
}

const HAS_MARK =
  'a mark of our block (# >>> spegel, # <<< spegel) stands in it; take that out and run this again';

/**
 * As `ownFile`, for the text of another directory, which must stay readable: without the mirror
 * where the mirror cannot be added. Throws LeftAlone where not even a copy can be made.
 */
export function ownFileOrCopy(text: string, addition: Addition): string {
  try {
    return ownFile(text, addition);
  } catch (error) {
    if (!(error instanceof LeftAlone)) throw error;
    return copiedFile(text, addition.root);
  }
}

function copiedFile(text: string, root: string): string {
  const own = text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
  // Marks in the copy must not pass for marks of this file.
  const copy = root + withNewline(own.replaceAll(/# (>>>|<<<) spegel/g, '# ($1) spegel'));
  if (!isSameMeaning(meaningOf(copy), merged(meaningOf(own), meaningOf(root)))) {
    throw new LeftAlone('it cannot be copied without a change of what it says');
  }
  return marked(copy);
}

/**
 * A file of ours with the text that somebody wrote beside our block behind it. Throws as
 * `withBlock`.
 */
export function withAdministratorsLines(file: string, rest: string): string {
  const whole = file + rest;
  if (!isSameMeaning(meaningOf(whole), merged(meaningOf(rest), meaningOf(file)))) {
    throw new LeftAlone(
      'what was written beside our block would change what it says; move it behind',
    );
  }
  return whole;
}

/**
 * The lines of a hosts.toml that describe the registry itself: all but its hosts. Throws LeftAlone
 * for text that is no TOML.
 */
export function registryPart(text: string): string {
  meaningOf(text);
  let table: readonly string[] = [];
  let part = '';
  for (const { kind, keys, start, end } of tomlStatements(text)) {
    if (kind !== 'pair') table = keys;
    if ((table[0] ?? keys[0]) !== 'host') part += withNewline(text.slice(start, end));
  }
  return part;
}

function hostsBelowRoot({ root, hosts }: Addition): string {
  return root && hosts ? `\n${hosts}` : hosts;
}

function withNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

function insertBlock(text: string, addition: Addition, block: string): string {
  const before = meaningOf(text);
  const statements = tomlStatements(text);
  checkHosts(statements);
  const [own] = meaningOf(addition.hosts).order.filter((name) => name in (before.hosts ?? {}));
  if (own !== undefined) {
    throw new LeftAlone(`it has a [host."${own}"] of its own; take that out and run this again`);
  }
  const offset = insertionOffset(text, statements, addition.root !== '');
  const after = `${text.slice(0, offset)}${block}${text.slice(offset)}`;
  checkMeaning(text, after, addition);
  return after;
}

/**
 * Throws LeftAlone for hosts in front of which no table can come. containerd before 2.0 asks hosts
 * that are keys of the root, or inline tables, before hosts that are tables; later versions do not
 * read them.
 */
function checkHosts(statements: readonly TomlStatement[]): void {
  let table: readonly string[] = [];
  for (const { kind, keys } of statements) {
    if (kind !== 'pair') table = keys;
    else if (table.length === 0 ? keys[0] === 'host' : isHostTable(table) && keys.length === 1) {
      throw new LeftAlone(
        'expected hosts as tables, got them as keys or inline, which containerd 2 does not read; write them as [host."https://mirror.example"]',
      );
    }
  }
}

/** True for `[host]`, in which hosts may be written as keys. */
function isHostTable(keys: readonly string[]): boolean {
  return keys.length === 1 && keys[0] === 'host';
}

/**
 * The offset for our block: in front of the first host's table, of the first table where there is
 * no host, or at the end. Lines for the root have to come in front of every table.
 */
function insertionOffset(
  text: string,
  statements: readonly TomlStatement[],
  isRoot: boolean,
): number {
  const tables = statements.filter(({ kind }) => kind !== 'pair');
  const host = isRoot ? undefined : tables.find(({ keys }) => keys[0] === 'host');
  const first = host ?? tables[0];
  if (first === undefined) return text.length;
  const previous = statements.findLast(({ end }) => end <= first.start);
  return startOfComments(text, previous?.end ?? 0, first.start);
}

/**
 * The start of the comments directly above a table, which describe the table. A comment in the line
 * of another statement is not one of them.
 */
function startOfComments(text: string, from: number, table: number): number {
  let start = table;
  while (start > from) {
    const line = text.lastIndexOf('\n', start - 2) + 1;
    if (line < from || !/^[ \t]*#/.test(text.slice(line, start))) break;
    start = line;
  }
  return start;
}

/** Throws LeftAlone unless `after` says what `before` says, with the addition in front. */
function checkMeaning(before: string, after: string, { root, hosts }: Addition): void {
  const expected = merged(meaningOf(before), meaningOf(`${root}${hosts}`));
  if (!isSameMeaning(meaningOf(after), expected)) {
    throw new LeftAlone('our block would change what the rest of it says; please report this file');
  }
}

/**
 * The text without our blocks: exactly the bytes that are not ours. `written` is what the last run
 * put between the marks of this file, if known: with it, lines that somebody wrote in between are
 * told apart and stay. Throws LeftAlone where they cannot be told apart, or would mean something
 * else alone.
 */
export function withoutBlocks(text: string, written: string | undefined): string {
  const blocks = findBlocks(text);
  if (blocks === undefined) {
    throw new LeftAlone(
      'a mark of our block (# >>> spegel, # <<< spegel) lacks its partner; take the block out by hand',
    );
  }
  const pieces: string[] = [];
  let at = 0;
  for (const { start, end, body, isIntact } of blocks) {
    pieces.push(text.slice(at, start), isIntact ? '' : addedLines(written, body));
    at = end;
  }
  const rest = [...pieces, text.slice(at)].reduce(joinLines);
  if (blocks.some(({ isIntact }) => !isIntact)) checkEditedBlock(text, rest, written ?? '');
  return rest;
}

/**
 * Joins the text before a block with the text behind it. Text in the line of the mark must not run
 * together with what follows.
 */
function joinLines(head: string, tail: string): string {
  const isWhole = head === '' || head === BYTE_ORDER_MARK || head.endsWith('\n');
  return isWhole || tail === '' ? head + tail : `${head}\n${tail}`;
}

const EDITED =
  'our block was edited; undo that, or delete all from # >>> spegel to # <<< spegel and run this again';

function addedLines(written: string | undefined, body: string): string {
  if (written === undefined) {
    throw new LeftAlone(EDITED);
  }
  const changes = diffLines(written.replaceAll('\r', ''), body.replaceAll('\r', ''));
  return changes
    .filter(({ added }) => added)
    .map(({ value }) => value)
    .join('');
}

function checkEditedBlock(text: string, rest: string, written: string): void {
  const expected = without(meaningOf(text), meaningOf(written));
  if (!isSameMeaning(meaningOf(rest), expected)) {
    throw new LeftAlone(EDITED);
  }
}
