import { type AST, parseTOML } from 'toml-eslint-parser';
import { LeftAlone } from './left-alone.ts';

/** Some editors write it at the beginning of a file. TOML has none. */
export const BYTE_ORDER_MARK = '\uFEFF';

/**
 * A table header, `[a.b]` or `[[a.b]]`, or an assignment, `a.b = value`, and its place in the text.
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
 * The places of the statements of a TOML document, in its order. The text must be one that `toml`
 * parses: that parser gives the values, without places, and decides what is TOML. Throws LeftAlone
 * for what overflows that parser's stack: strings of some 100,000 characters, deep nesting.
 */
export function tomlStatements(text: string): TomlStatement[] {
  // The parser rejects a byte order mark. With a blank in its place all offsets stay.
  const blank = text.startsWith(BYTE_ORDER_MARK) ? ` ${text.slice(1)}` : text;
  const [document] = parsed(blank).body;
  return document.body.flatMap((node) => {
    if (node.type === 'TOMLKeyValue') return [statement(text, 'pair', node.key, node.range)];
    const kind = node.kind === 'array' ? 'array-table' : 'table';
    const header = statement(text, kind, node.key, [node.range[0], node.key.range[1]]);
    return [header, ...node.body.map(({ key, range }) => statement(text, 'pair', key, range))];
  });
}

function parsed(text: string): AST.TOMLProgram {
  try {
    return parseTOML(text, { tomlVersion: '1.1' });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new LeftAlone('expected shorter strings and less nesting, got more than can be read');
  }
}

/** A statement takes whole lines, with the blanks before it and the comment behind it. */
function statement(
  text: string,
  kind: TomlStatement['kind'],
  { keys }: AST.TOMLKey,
  [first, behind]: readonly [number, number],
): TomlStatement {
  const line = text.lastIndexOf('\n', first - 1) + 1;
  const newline = text.indexOf('\n', behind);
  return {
    kind,
    keys: keys.map((key) => (key.type === 'TOMLBare' ? key.name : key.value)),
    start: line === 0 && text.startsWith(BYTE_ORDER_MARK) ? 1 : line,
    end: newline === -1 ? text.length : newline + 1,
  };
}
