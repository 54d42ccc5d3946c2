/**
 * What several holders of one layer give a host that pulls it. Measures all rows, or those that are
 * named:
 *
 *     node scripts/bench/many-sources.ts [four-holders …]
 */
import { labMissing } from '../../lab/fleet/lab.ts';
import { type HeldLayer, type Pulled, SourceHosts } from './source-hosts.ts';
import { median, missing, printTable, type Row } from './table.ts';

const ROUNDS = 3;

/** By the name that asks for it. */
const ROWS: Readonly<Record<string, () => Promise<Row[]>>> = {
  'four-holders': fourHolders,
};

/** All rows, or those of these names. Needs root on Debian; throws on a name that it lacks. */
export async function benchManySources(
  names: readonly string[] = Object.keys(ROWS),
): Promise<Row[]> {
  const reason = await labMissing();
  if (reason !== false) return [missing('one layer from many hosts', reason)];
  const rows: Row[] = [];
  for (const name of names) {
    const bench = ROWS[name];
    if (bench === undefined) throw new Error(`${name}: one of ${Object.keys(ROWS).join(', ')}`);
    rows.push(...(await bench()));
  }
  return rows;
}

/** What a round gave, for an author that waits for the row. */
function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

const seconds = (value: number) => `${value.toFixed(2)} s`;
const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
const told = (pulled: Pulled) =>
  `${seconds(pulled.seconds)}, holders sent ${pulled.shares.map(percent).join(' ')}`;

/** Four holders whose links are slower than the puller's, and no upstream. */
async function fourHolders(): Promise<Row[]> {
  await using hosts = await SourceHosts.create(4);
  const [byCurl, byContainerd] = [
    await hosts.holdMany('curl', ROUNDS, 64),
    await hosts.holdMany('containerd', ROUNDS, 64),
  ];
  await hosts.warmUp();
  await hosts.lab.upstream.stop();
  await hosts.shape(['100mbit', '100mbit', '100mbit', '100mbit'], '400mbit');
  return [
    await fourHoldersRow(hosts, 'curl asks the own daemon', byCurl, (one) => hosts.pull(one)),
    await fourHoldersRow(hosts, 'containerd fetches', byContainerd, (one) => hosts.fetch(one)),
  ];
}

async function fourHoldersRow(
  hosts: SourceHosts,
  how: string,
  layers: readonly HeldLayer[],
  pull: (layer: HeldLayer) => Promise<Pulled>,
): Promise<Row> {
  const aim = { times: 3.4, share: 0.4 };
  const rounds: { plain: number; ours: number; share: number }[] = [];
  for (const [round, layer] of layers.entries()) {
    const plain = await hosts.plain(layer, hosts.holders[round]);
    const ours = await pull(layer);
    say(`four holders, ${how}: ${told(ours)}; plain curl ${seconds(plain.seconds)}`);
    const share = Math.max(...ours.shares);
    rounds.push({ plain: plain.seconds, ours: ours.seconds, share });
  }
  const of = (key: keyof (typeof rounds)[number]) => median(rounds.map((round) => round[key]));
  const times = median(rounds.map(({ plain, ours }) => plain / ours));
  const isMet = times >= aim.times && of('share') <= aim.share;
  return {
    what: `4 holders with 100 Mbit/s each, puller 400, 1 x 64 MiB, upstream off; ${how}`,
    ours: `${seconds(of('ours'))}, one holder sent ${percent(of('share'))} of it at most`,
    baseline: `plain curl from one of them: ${seconds(of('plain'))}`,
    ratio: `${times.toFixed(2)} x one link's rate (aim: ${aim.times}, ${percent(aim.share)}): ${isMet ? 'met' : 'not met'}`,
  };
}

if (import.meta.main) {
  const names = process.argv.slice(2);
  printTable(await benchManySources(names.length > 0 ? names : undefined));
}
