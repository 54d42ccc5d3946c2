/** Measured rounds in a file of JSON lines, so that a long run can go on where it ended; and the table of them. */
import { appendFileSync, readFileSync } from 'node:fs';
import { median } from '../bench-table.ts';
import { type Case, WAYS, type Way } from './cases.ts';
import type { Pull } from './fetch-lab.ts';

/** One round of a case: each way once, one right after the other. */
export interface Round extends Case {
  /** Load average of the machine in the minute before its end: who shares it is measured along. */
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

const HEAD = [
  'containerd',
  'link, Mbit/s',
  'source',
  'image, MiB',
  'chunk, MiB x requests',
  'rounds',
  'load',
  'buffer off',
  'buffer on',
  'and `--parallel-fetch`',
  'requests',
  'aborted',
  'sent, copies',
  'CPU-s of Spegel',
];

/**
 * Times are those until the last layer is complete, in brackets those of the whole pull with its unpacking. Every ratio is
 * the median of ratios to the first way of the same round.
 */
export function tableOf(rounds: readonly Round[]): string {
  const groups = Map.groupBy(rounds, nameOf);
  const lines = [HEAD, HEAD.map(() => '---')];
  for (const [, group] of groups) lines.push(rowOf(group));
  return lines.map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

function rowOf(group: readonly Round[]): string[] {
  const [first] = group;
  if (first === undefined) throw new Error('a row of nothing');
  const each = (text: (way: Way) => string) => WAYS.map(text).join(' / ');
  const of = (way: Way, value: (pull: Pull) => number) =>
    median(group.flatMap(({ pulls }) => ('error' in pulls[way] ? [] : [value(pulls[way])])));
  const figure = (way: Way, value: (pull: Pull) => number, digits: number) =>
    of(way, value).toFixed(digits).replace('NaN', '-');
  return [
    first.version,
    first.link,
    first.source,
    first.image.replace('x', ' x '),
    first.setting.replace('x', ' x '),
    String(group.length),
    median(group.map(({ load }) => load)).toFixed(0),
    `${seconds(of('off', ({ fetchMs }) => fetchMs))} (${seconds(of('off', ({ pullMs }) => pullMs))}) s`,
    ratio(group, 'plain'),
    ratio(group, 'parallel'),
    each((way) => figure(way, (pull) => pull.requests, 0)),
    each((way) => figure(way, (pull) => pull.aborted, 0)),
    each((way) => figure(way, (pull) => pull.sent, 2)),
    each((way) => figure(way, (pull) => pull.cpu.spegel, 1)),
  ];
}

function ratio(group: readonly Round[], way: Way): string {
  const failures = group.filter(({ pulls }) => 'error' in pulls[way]).length;
  const pairs = group.flatMap(({ pulls: { off, [way]: pull } }) =>
    'error' in off || 'error' in pull ? [] : [{ off, pull }],
  );
  const failed = failures === 0 ? '' : `${failures} failed`;
  if (pairs.length === 0) return failed;
  const fetch = median(pairs.map(({ off, pull }) => pull.fetchMs / off.fetchMs));
  const whole = median(pairs.map(({ off, pull }) => pull.pullMs / off.pullMs));
  return [`${fetch.toFixed(2)} (${whole.toFixed(2)})`, failed].filter(Boolean).join(', ');
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}
