import { createTwoFilesPatch } from 'diff';
import type { HostsTomlChange } from './mirrors.ts';
import { tomlStatements } from './toml/statements.ts';

/** The change as a unified diff. Credentials are not shown: it is for screens and logs. */
export function diffOf({ path, action, before, after }: HostsTomlChange): string {
  if (before === undefined && after === undefined)
    return `${path}: ${action} the directory, which has no hosts.toml\n`;
  const [old, next] = [before, after].map((text) => withoutCredentials(text ?? ''));
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

/**
 * The text without credentials, and without the sum in our mark, by which a weak password could be
 * guessed.
 */
function withoutCredentials(text: string): string {
  return withoutHeaders(text)
    .replaceAll(/(["']?authorization["']?\s*=\s*)[^\n]*/gi, '$1"<hidden>"')
    .replaceAll(/(# >>> spegel) [0-9a-f]{12}:/g, '$1:');
}

/** Hides the values of all headers: any header may be a token, in every form of TOML. */
function withoutHeaders(text: string): string {
  let shown = '';
  let end = 0;
  let table: readonly string[] = [];
  for (const statement of tomlStatements(text)) {
    const { kind, keys, start } = statement;
    if (kind !== 'pair') table = keys;
    const own = text.slice(start, statement.end);
    const isHeader =
      kind === 'pair' && ([...table, ...keys].includes('header') || /=[\s\S]*header/.test(own));
    if (!isHeader) continue;
    const newline = /\r?\n$/.exec(own)?.[0] ?? '';
    shown += `${text.slice(end, start)}${own.slice(0, own.indexOf('=') + 1)} "<hidden>"${newline}`;
    end = statement.end;
  }
  return shown + text.slice(end);
}
