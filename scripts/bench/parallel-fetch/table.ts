/** The table of what was measured. */
import { median } from '../table.ts';
import { SOURCES, WAYS, type Way } from './cases.ts';
import type { Pull } from './fetch-lab.ts';
import { nameOf, type Round } from './record.ts';

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
 * Times are those until the last layer is complete, in brackets those of the whole pull with its
 * unpacking. Every ratio is the median of ratios to the first way of the same round.
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
    median(group.flatMap((round) => goodPull(round, way)).map(value));
  const figure = (way: Way, value: (pull: Pull) => number, digits: number) =>
    of(way, value).toFixed(digits).replace('NaN', '-');
  const seconds = (value: (pull: Pull) => number) => (of('off', value) / 1_000).toFixed(1);
  return [
    first.version,
    first.link,
    first.source,
    first.image.replace('x', ' x '),
    first.setting.replace('x', ' x '),
    String(group.length),
    median(group.map(({ load }) => load)).toFixed(0),
    `${seconds(({ fetchMs }) => fetchMs)} (${seconds(({ pullMs }) => pullMs)}) s${notes(group, 'off')}`,
    ratio(group, 'plain'),
    ratio(group, 'parallel'),
    each((way) => figure(way, (pull) => pull.requests, 0)),
    each((way) => figure(way, (pull) => pull.aborted, 0)),
    each((way) => figure(way, (pull) => pull.sent, 2)),
    each((way) => figure(way, (pull) => pull.cpu.spegel, 1)),
  ];
}

/** The pull of a way if it came to its end, and from where the case says; else nothing. */
function goodPull({ source, pulls }: Round, way: Way): Pull[] {
  const pull = pulls[way];
  return 'error' in pull || isElsewhere(source, pull) ? [] : [pull];
}

/** Content that peers have came from the upstream: the daemon found no peer in time. */
function isElsewhere(source: string, pull: Pull): boolean {
  return SOURCES[source] !== 0 && pull.sentByUpstream > ELSEWHERE;
}

function ratio(group: readonly Round[], way: Way): string {
  const pairs = group.flatMap((round) =>
    goodPull(round, 'off').flatMap((off) => goodPull(round, way).map((pull) => ({ off, pull }))),
  );
  if (pairs.length === 0) return `-${notes(group, way)}`;
  const fetch = median(pairs.map(({ off, pull }) => pull.fetchMs / off.fetchMs));
  const whole = median(pairs.map(({ off, pull }) => pull.pullMs / off.pullMs));
  return `${fetch.toFixed(2)} (${whole.toFixed(2)})${notes(group, way)}`;
}

/** How many pulls of this way are not in its figures, and why. */
function notes(group: readonly Round[], way: Way): string {
  const pulls = group.map((round) => round.pulls[way]);
  const failed = pulls.filter((pull) => 'error' in pull).length;
  const elsewhere = pulls.length - failed - group.flatMap((round) => goodPull(round, way)).length;
  return [
    failed === 0 ? '' : `, ${failed} failed`,
    elsewhere === 0 ? '' : `, ${elsewhere} went upstream`,
  ].join('');
}

/** Of an image: more than manifests and configs are. */
const ELSEWHERE = 0.05;
