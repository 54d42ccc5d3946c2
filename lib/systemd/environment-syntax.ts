/**
 * The variables of a unit's EnvironmentFile=, as systemd reads it: systemd.exec(5) and
 * src/basic/env-file.c of 254 and later (before, a comment that ends with a backslash included the
 * next line). Expands nothing, and skips lines that are no setting.
 */
export function parseEnvironmentFile(text: string): Record<string, string> {
  return Object.fromEntries(entriesOf(text).map(({ name, value }) => [name, value]));
}

/** One setting and its place in the text: from the start of its name to the end of its value. */
export interface EnvironmentEntry {
  readonly name: string;
  readonly value: string;
  readonly start: number;
  readonly end: number;
}

/** All settings in their order. Of several with one name, the last one counts. */
export function entriesOf(text: string): EnvironmentEntry[] {
  const origins = originsOf(text);
  return [...text.replaceAll(LINE_END, '\n').matchAll(ENTRY)].map((match) => {
    const [whole, indent = '', name = '', quoted = '', bare = ''] = match;
    const value = withoutQuotes(quoted) + withoutEscapes(bare);
    const start = origins(match.index + indent.length);
    return { name, value, start, end: origins(match.index + whole.length) };
  });
}

/** To systemd each of them is one line end. */
const LINE_END = /\r\n?/g;

/**
 * Translates a place in the text with plain line ends to the original text. To be called with
 * rising places.
 */
function originsOf(text: string): (at: number) => number {
  // Each `\r\n` became one character. These are their places in the plain text, in order.
  const pairs = [...text.matchAll(/\r\n/g)].map(({ index }, count) => index - count);
  let before = 0;
  return (at) => {
    while ((pairs[before] ?? at) < at) before += 1;
    return at + before;
  };
}

/**
 * A name, any number of quoted texts, which may span lines, and unquoted text behind them. A
 * comment has no name.
 */
const ENTRY =
  /^([ \t]*)([A-Za-z_][A-Za-z0-9_]*)[ \t]*=((?:[ \t]*(?:'[^']*(?:'|(?!.))|"(?:[^"\\]|\\.)*(?:"|(?!.))))*)[ \t]*((?:[^\n\\]|\\.)*)/gms;

/**
 * Between single quotes each character stands for itself; between double ones a backslash counts
 * where it does in a shell.
 */
function withoutQuotes(quoted: string): string {
  const texts = quoted.matchAll(/'([^']*)'?|"((?:[^"\\]|\\.)*)"?/gs);
  return [...texts].map(([, single, double]) => single ?? unescapeDouble(double ?? '')).join('');
}

function unescapeDouble(text: string): string {
  return text.replaceAll(/\\(.)/gs, (whole, char: string) => {
    if (char === '\n') return '';
    return '"\\`$'.includes(char) ? char : whole;
  });
}

/**
 * Outside of quotes: a quote stands for itself, a backslash protects any character, and one at the
 * end of a line joins the next line.
 */
function withoutEscapes(bare: string): string {
  let value = '';
  let length = 0;
  for (const [whole, escaped, space] of bare.matchAll(/\\(.)|([ \t]+)|[^\\ \t]+/gs)) {
    if (escaped !== '\n') value += escaped ?? whole;
    if (space === undefined) length = value.length;
  }
  return value.slice(0, length);
}

/**
 * A value as it must stand in the file: systemd removes one pair of quotes, and backslashes outside
 * of '…'.
 */
export function quoted(text: string): string {
  if (!/[\\\s'"]/.test(text)) return text;
  return text.includes("'") ? `"${text.replaceAll(/[\\"]/g, '\\$&')}"` : `'${text}'`;
}
