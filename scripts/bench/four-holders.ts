import {
  type HeldLayer,
  type Pulled,
  percent,
  SourceHosts,
  say,
  seconds,
  told,
} from './source-hosts.ts';
import { median, type Row } from './table.ts';

const ROUNDS = 3;
const AIM = { times: 3.4, share: 0.4 };

/** Four holders whose links are slower than the puller's, and no upstream. */
export async function benchFourHolders(): Promise<Row[]> {
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
  const isMet = times >= AIM.times && of('share') <= AIM.share;
  return {
    what: `4 holders with 100 Mbit/s each, puller 400, 1 x 64 MiB, upstream off; ${how}`,
    ours: `${seconds(of('ours'))}, one holder sent ${percent(of('share'))} of it at most`,
    baseline: `plain curl from one of them: ${seconds(of('plain'))}`,
    ratio: `${times.toFixed(2)} x one link's rate (aim: ${AIM.times}, ${percent(AIM.share)}): ${isMet ? 'met' : 'not met'}`,
  };
}
