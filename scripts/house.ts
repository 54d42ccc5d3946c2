import { resolve } from 'node:path';
import { type Counts, countsOf } from './house/count.ts';
import { type Way, waysThrough } from './house/ways.ts';

/**
 * Measures how much a reader has to hold: `node scripts/house.ts [tree...]`. A tree is a checkout
 * with its packages; without one it is this one. Several are printed side by side. `--files` names
 * the files of each way.
 */
const words = process.argv.slice(2);
const namesFiles = words.includes('--files');
const named = words.filter((word) => word !== '--files');
const trees = (named.length > 0 ? named : [`${import.meta.dirname}/..`]).map((tree) =>
  resolve(tree),
);

interface Measured {
  readonly counts: Counts;
  readonly ways: readonly Way[];
}

const measured: Measured[] = [];
for (const tree of trees) {
  process.stderr.write(`measuring ${tree} ...\n`);
  measured.push({ counts: countsOf(tree), ways: await waysThrough(tree) });
}

const row = (name: string, cells: readonly (string | number)[]) =>
  process.stdout.write(`| ${[name, ...cells].join(' | ')} |\n`);

row(
  'files of which a function runs',
  trees.map((_, index) => `tree ${index + 1}`),
);
row(
  '---',
  trees.map(() => '--:'),
);
for (const [index, { name }] of (measured[0]?.ways ?? []).entries()) {
  row(
    name,
    measured.map(({ ways }) => ways[index]?.files.length ?? ''),
  );
}
row(
  'lines of lib and cmd',
  measured.map(({ counts }) => counts.lines),
);
row(
  'files of lib and cmd',
  measured.map(({ counts }) => sum(counts, 'files')),
);
row(
  'exported names, constants.ts apart',
  measured.map(({ counts }) => sum(counts, 'exports')),
);
row(
  'named constants',
  measured.map(({ counts }) => sum(counts, 'constants')),
);
row(
  'of these, times',
  measured.map(({ counts }) => sum(counts, 'times')),
);
row(
  'longest function, lines',
  measured.map(({ counts: { longest } }) => `${longest.lines} (${longest.name})`),
);
for (const [index, { counts }] of measured.entries()) {
  process.stdout.write(`\ntree ${index + 1}, by room:\n\n`);
  row('room', ['files', 'lines', 'exported names, constants.ts apart', 'constants', 'times']);
  row('---', ['--:', '--:', '--:', '--:', '--:']);
  for (const [room, { files, lines, exports, constants, times }] of counts.rooms) {
    row(room, [files, lines, exports, constants, times]);
  }
}
if (namesFiles) {
  for (const { ways } of measured) {
    for (const { name, files } of ways)
      process.stdout.write(`\n${name}\n  ${files.join('\n  ')}\n`);
  }
}

function sum({ rooms }: Counts, key: 'files' | 'exports' | 'constants' | 'times'): number {
  return [...rooms.values()].reduce((total, counts) => total + counts[key], 0);
}
