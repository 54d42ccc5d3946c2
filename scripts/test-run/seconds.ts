import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FileResult } from './run-file.ts';

/** Shorter files fill the gaps at the end of a run in any order. */
const RECORDED_SECONDS = 5;

/** Written by `node scripts/test.ts --record`. Only the order of the files depends on it. */
const RECORD = 'scripts/test-run/seconds.json';

type Seconds = Readonly<Record<string, number>>;

const read = (root: string) => JSON.parse(readFileSync(join(root, RECORD), 'utf8')) as Seconds;

/** The files in the order in which they should start: the longest first, so that none ends last. */
export function longestFirst(root: string, files: readonly string[]): string[] {
  const seconds = read(root);
  return files.toSorted((a, b) => (seconds[b] ?? 0) - (seconds[a] ?? 0));
}

/** Keeps how long these files took, and forgets those that are not there any more. */
export function recordSeconds(
  root: string,
  results: readonly FileResult[],
  existing: readonly string[],
): void {
  const measured = results.map(({ file, seconds }) => [file, Math.round(seconds)] as const);
  const all = Object.entries({ ...read(root), ...Object.fromEntries(measured) });
  const kept = all
    .filter(([file, seconds]) => seconds >= RECORDED_SECONDS && existing.includes(file))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  writeFileSync(join(root, RECORD), `${JSON.stringify(Object.fromEntries(kept), null, 2)}\n`);
}
