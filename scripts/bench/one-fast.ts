import { SourceHosts, say, seconds, told } from './source-hosts.ts';
import { median, type Row } from './table.ts';

const ROUNDS = 3;
const LAYER_MIB = 64;
/** Slow holders beside the fast one may cost so many times its time. */
const AIM = 1.05;

/** Whether slow holders of a layer make it slower than the fast one is alone. */
export async function benchOneFast(): Promise<Row[]> {
  await using hosts = await SourceHosts.create(4);
  const ofAll = await hosts.holdMany('all', ROUNDS, LAYER_MIB);
  const ofFast = await hosts.holdMany('fast', ROUNDS, LAYER_MIB, hosts.holders.slice(0, 1));
  await hosts.warmUp();
  await hosts.shape(['400mbit', '25mbit', '25mbit', '25mbit'], '400mbit');
  const rounds: { all: number; alone: number }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const [layer, fastLayer] = [ofAll[round], ofFast[round]];
    if (layer === undefined || fastLayer === undefined) throw new Error('too few layers');
    await hosts.forget();
    const all = await hosts.pull(layer);
    const alone = await hosts.pull(fastLayer);
    say(`one fast holder, three slow ones: ${told(all)}; alone ${seconds(alone.seconds)}`);
    rounds.push({ all: all.seconds, alone: alone.seconds });
  }
  const of = (key: keyof (typeof rounds)[number]) => median(rounds.map((round) => round[key]));
  const times = median(rounds.map(({ all, alone }) => all / alone));
  return [
    {
      what: `one holder with 400 Mbit/s, three with 25, puller 400, 1 x ${LAYER_MIB} MiB; curl asks the own daemon`,
      ours: seconds(of('all')),
      baseline: `the same with the fast holder alone: ${seconds(of('alone'))}`,
      ratio: `${times.toFixed(2)} x its time (aim: ${AIM}): ${times <= AIM ? 'met' : 'not met'}`,
    },
  ];
}
