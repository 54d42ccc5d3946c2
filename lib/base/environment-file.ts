/**
 * The variables of a file that a unit names by EnvironmentFile=, as systemd reads it:
 * systemd.exec(5) and src/basic/env-file.c of 254 and later (before, a comment that ends with a
 * backslash took the next line with it). Nothing is expanded; lines that are no setting are passed
 * over.
 */
export function parseEnvironmentFile(text: string): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [, name, quoted = '', bare = ''] of text.replaceAll(/\r\n?/g, '\n').matchAll(ENTRY)) {
    if (name !== undefined) env[name] = withoutQuotes(quoted) + withoutEscapes(bare);
  }
  return env;
}

/**
 * A name, any number of quoted texts, which may go over lines, and what follows them. Comments have
 * no name.
 */
const ENTRY =
  /^[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*=((?:[ \t]*(?:'[^']*(?:'|(?!.))|"(?:[^"\\]|\\.)*(?:"|(?!.))))*)[ \t]*((?:[^\n\\]|\\.)*)/gms;

/**
 * Between single quotes everything is itself; between double ones a backslash counts where it does
 * for a shell.
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
 * Quotes are themselves here, a backslash protects any character, and a line that ends with one
 * goes on.
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
