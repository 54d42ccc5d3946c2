import { MAX_PRINTABLE_LENGTH } from './constants.ts';

/** Controls of a terminal, line ends, directions of writing: C0, DEL, C1, and those of Unicode. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is escaped.
const UNPRINTABLE = /[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/** Escapes what cannot be printed, as JSON and JavaScript do. */
export function escapeControls(text: string): string {
  return text.replaceAll(UNPRINTABLE, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/**
 * The text of another program or host, for an error, a log or a header: escapes what cannot be
 * printed, and cuts it to `maxLength` characters.
 */
export function printable(text: string, maxLength = MAX_PRINTABLE_LENGTH): string {
  const escaped = escapeControls(text.slice(0, maxLength));
  const isWhole = text.length <= maxLength && escaped.length <= maxLength;
  return isWhole ? escaped : `${escaped.slice(0, maxLength - 1)}…`;
}
