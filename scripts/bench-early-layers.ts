/**
 * What it is worth that a layer is advertised as soon as it lands, before its image is complete:
 * hosts that pull one fresh image, one every five seconds. Needs root on Debian, `make build`
 * first, and ten minutes for a round.
 *
 * node scripts/bench-early-layers.ts [--client cri] [--image 4x64] [--way layers] [--rounds 1]
 * [--out dist/early-layers.jsonl] [--table]
 *
 * The ways: `without` Spegel; `--inflight=false` with whole `images` advertised, or single
 * `layers`; the default (`inflight`). Rounds that the file has are not measured again. `--table`
 * measures nothing.
 */
import { parseArgs } from 'node:util';
import { labMissing } from '../lab/fleet/lab.ts';
import { chosen } from './bench/parallel-fetch/cases.ts';
import { appendLine, readLines } from './bench/parallel-fetch/record.ts';
import {
  STAGGERED_CLIENTS,
  STAGGERED_IMAGES,
  STAGGERED_WAYS,
  type Staggered,
  type StaggeredClient,
  type StaggeredWay,
  StaggerLab,
} from './bench/parallel-fetch/stagger-lab.ts';
import { median } from './bench/table.ts';

const several = { type: 'string', multiple: true, default: [] as string[] } as const;
const { values } = parseArgs({
  options: {
    client: several,
    image: several,
    way: several,
    rounds: { type: 'string', default: '1' },
    out: { type: 'string', default: 'dist/early-layers.jsonl' },
    table: { type: 'boolean', default: false },
  },
});
const clients = chosen('client', STAGGERED_CLIENTS, values.client);
const images = chosen('image', Object.keys(STAGGERED_IMAGES), values.image);
const ways = chosen('way', STAGGERED_WAYS, values.way);

if (!values.table) {
  const missing = await labMissing();
  if (missing !== false) throw new Error(missing);
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const client of clients) {
      for (const image of images) await measure(client, image, round);
    }
  }
}
printTable(readLines<Staggered>(values.out));

async function measure(client: StaggeredClient, image: string, round: number): Promise<void> {
  const done = readLines<Staggered>(values.out);
  const count = (way: StaggeredWay) =>
    done.filter((one) => keyOf(one) === keyOf({ client, image, way })).length;
  const left = ways.filter((way) => count(way) <= round);
  if (left.length === 0) return;
  await using lab = await StaggerLab.create(client, image, left);
  for (const way of left) {
    const result = await lab.pull(way);
    appendLine(values.out, result);
    const seconds = result.tookMs.map((ms) => (ms / 1_000).toFixed(1)).join(' ');
    process.stderr.write(
      `${client} ${image} ${way}: ${seconds}; ${result.copies.toFixed(2)} copies\n`,
    );
  }
}

function keyOf({ client, image, way }: Pick<Staggered, 'client' | 'image' | 'way'>): string {
  return `${client} ${image} ${way}`;
}

function printTable(results: readonly Staggered[]): void {
  process.stdout.write('| client | image, MiB | way | rounds | each host, s | mean | copies |\n');
  process.stdout.write('|---|---|---|---|---|---|---|\n');
  for (const [, group] of Map.groupBy(results, keyOf)) {
    const [first] = group;
    if (first === undefined) continue;
    const hosts = first.tookMs.map((_, i) => median(group.map(({ tookMs }) => tookMs[i] ?? 0)));
    const mean = hosts.reduce((sum, ms) => sum + ms, 0) / hosts.length;
    const cells = [
      first.client,
      first.image.replace('x', ' x '),
      first.way,
      String(group.length),
      hosts.map((ms) => (ms / 1_000).toFixed(0)).join(', '),
      `${(mean / 1_000).toFixed(1)} s`,
      median(group.map(({ copies }) => copies)).toFixed(2),
    ];
    process.stdout.write(`| ${cells.join(' | ')} |\n`);
  }
}
