/** Measured rounds in a file of JSON lines, so that a long run can go on where it ended. */
import { appendFileSync, readFileSync } from 'node:fs';
import type { Case, Way } from './cases.ts';
import type { Pull } from './fetch-lab.ts';

/** One round of a case: each way once, one right after the other. */
export interface Round extends Case {
  /** Load average of the machine in the minute before its end: other programs slow the pulls. */
  readonly load: number;
  readonly pulls: Readonly<Record<Way, Pull | { readonly error: string }>>;
}

export function appendLine(file: string, value: object): void {
  appendFileSync(file, `${JSON.stringify(value)}\n`);
}

/** All that was appended to a file; nothing when there is no file. */
export function readLines<Value>(file: string): Value[] {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Value);
}

export function nameOf({ version, link, source, image, setting }: Case): string {
  return [version, link, source, image, setting].join(' ');
}
