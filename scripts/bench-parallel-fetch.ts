/**
 * What containerd's parallel range fetching is worth with and without `--parallel-fetch`, on real
 * containerd in network namespaces with shaped links. Needs root on Debian, `make build` first, and
 * an hour for a round of everything.
 *
 * node scripts/bench-parallel-fetch.ts [--version 2.1] [--link 100] [--source one] [--image 4x64]
 * [--setting 8x3] [--rounds 1] [--out dist/parallel-fetch.jsonl] [--table]
 *
 * Each option but the last three may be given several times; without it all are measured. Rounds
 * that the file has are not measured again. `--table` prints the file's table and measures nothing.
 */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { labMissing } from '../lab/fleet/lab.ts';
import {
  type Case,
  chosen,
  IMAGES,
  isWorthIt,
  LINKS,
  SETTINGS,
  SOURCES,
  VERSIONS,
  WAYS,
} from './bench/parallel-fetch/cases.ts';
import { FetchLab } from './bench/parallel-fetch/fetch-lab.ts';
import { appendLine, nameOf, type Round, readLines } from './bench/parallel-fetch/record.ts';
import { tableOf } from './bench/parallel-fetch/table.ts';

const several = { type: 'string', multiple: true, default: [] as string[] } as const;
const { values } = parseArgs({
  options: {
    version: several,
    link: several,
    source: several,
    image: several,
    setting: several,
    rounds: { type: 'string', default: '1' },
    out: { type: 'string', default: 'dist/parallel-fetch.jsonl' },
    table: { type: 'boolean', default: false },
  },
});

const wanted = {
  versions: chosen('version', VERSIONS, values.version),
  links: chosen('link', Object.keys(LINKS), values.link),
  sources: chosen('source', Object.keys(SOURCES), values.source),
  images: chosen('image', Object.keys(IMAGES), values.image),
  settings: chosen('setting', Object.keys(SETTINGS), values.setting),
};
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) {
  throw new Error(`--rounds: expected a whole number from 1 on, got ${values.rounds}`);
}

if (!values.table) {
  const missing = await labMissing(...wanted.versions);
  if (missing !== false) throw new Error(missing);
  for (const version of wanted.versions) {
    for (const image of wanted.images) await measure(casesOf(version, image));
  }
}
process.stdout.write(tableOf(readLines<Round>(values.out)));

function casesOf(version: Case['version'], image: string): Case[] {
  const all = wanted.links.flatMap((link) =>
    wanted.sources.flatMap((source) =>
      wanted.settings.map((setting) => ({ version, link, source, image, setting })),
    ),
  );
  return all.filter(isWorthIt);
}

/**
 * Cases of one version and one image, all in one lab; round by round, so that a row's rounds lie
 * apart.
 */
async function measure(cases: readonly Case[]): Promise<void> {
  const done = Map.groupBy(readLines<Round>(values.out), nameOf);
  const left = (round: number) =>
    cases.filter((one) => (done.get(nameOf(one))?.length ?? 0) <= round);
  const [first] = left(rounds - 1);
  const shape = first && IMAGES[first.image];
  if (first === undefined || shape === undefined) return;
  await using lab = await FetchLab.create(first.version, shape);
  for (let round = 0; round < rounds; round += 1) {
    for (const one of left(round)) {
      await lab.shape(one.link);
      const result = await roundOf(lab, one, round);
      appendLine(values.out, result);
      process.stderr.write(`${new Date().toISOString()} ${tableOf([result]).split('\n')[2]}\n`);
    }
  }
}

/** Each way once; the first of them is another one in each round. */
async function roundOf(lab: FetchLab, one: Case, round: number): Promise<Round> {
  const order = WAYS.map((_, i) => WAYS[(i + round) % WAYS.length] ?? 'off');
  const pulls: Partial<Record<(typeof WAYS)[number], Round['pulls']['off']>> = {};
  for (const way of order) {
    await lab.renew(one.setting, way);
    pulls[way] = await lab.pull(one.source).catch(async (error: unknown) => {
      const why = await lab.explain(error);
      process.stderr.write(`${nameOf(one)} ${way} failed: ${why}\n`);
      return { error: why };
    });
  }
  const { off, plain, parallel } = pulls;
  if (!off || !plain || !parallel) throw new Error('a way was left out');
  const [load = 0] = loadavg();
  return { ...one, load, pulls: { off, plain, parallel } };
}
