import { createTwoFilesPatch } from 'diff';
import type { FileChange } from './mirrors.ts';

/** The change as a unified diff. Credentials are not shown: it is for screens and logs. */
export function diffOf({ path, action, before, after }: FileChange): string {
  if (before === undefined && after === undefined) return `${path}: ${action}\n`;
  const [old, next] = [before, after].map((text) => hidden(text ?? ''));
  if (before !== undefined && after !== undefined && old === next) {
    return `--- ${path}\n+++ ${path}\n(only credentials, or who may read it)\n`;
  }
  const [from, to] = [before, after].map((text) => (text === undefined ? '/dev/null' : path));
  return createTwoFilesPatch(
    from ?? path,
    to ?? path,
    old ?? '',
    next ?? '',
    undefined,
    undefined,
    {
      headerOptions: { includeIndex: false, includeUnderline: false, includeFileHeaders: true },
    },
  );
}

/** The sum in our mark goes too: with it a weak password could be guessed. */
function hidden(text: string): string {
  return text
    .replaceAll(/(["']?authorization["']?\s*=\s*)[^\n]*/gi, '$1"<hidden>"')
    .replaceAll(/(# >>> spegel) [0-9a-f]{12}:/g, '$1:');
}
