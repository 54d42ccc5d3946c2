/**
 * What a terminal obeys, and what is another line: C0, DEL, C1, line ends and directions of
 * Unicode.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is escaped.
const UNPRINTABLE = /[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/** As JSON and JavaScript escape what cannot be printed. */
export function escapeControls(text: string): string {
  return text.replaceAll(UNPRINTABLE, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/**
 * What others said, for an error, a log or a header: with what cannot be printed escaped, and cut
 * to so many characters.
 */
export function printable(text: string, maxLength = MAX_LENGTH): string {
  const escaped = escapeControls(text.slice(0, maxLength));
  const isWhole = text.length <= maxLength && escaped.length <= maxLength;
  return isWhole ? escaped : `${escaped.slice(0, maxLength - 1)}…`;
}

const MAX_LENGTH = 100;
