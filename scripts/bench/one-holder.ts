import { type HeldLayer, type Pulled, SourceHosts, say, seconds } from './source-hosts.ts';
import { cpuSeconds, median, type Row } from './table.ts';

const ROUNDS = 5;
const LAYER_MIB = 512;
const GB = 1e9;
/** A pull may take so many times what one plain request takes. */
const AIM = 1.02;

/** With one holder that keeps up, a pull is one plain request: what the daemon between costs. */
export async function benchOneHolder(): Promise<Row[]> {
  await using hosts = await SourceHosts.create(1);
  const layer = await hosts.hold('one', LAYER_MIB);
  await hosts.warmUp();
  const withoutLimit = await oneHolderRow(hosts, layer, 'no limit');
  await hosts.shape(['1gbit']);
  return [await oneHolderRow(hosts, layer, '1 Gbit/s'), withoutLimit];
}

interface Cost {
  readonly seconds: number;
  /** CPU-s per GB of each daemon. */
  readonly puller: number;
  readonly holder: number;
}

async function oneHolderRow(hosts: SourceHosts, layer: HeldLayer, link: string): Promise<Row> {
  const costOf = async (pull: () => Promise<Pulled>): Promise<Cost> => {
    const cpu = () =>
      [hosts.puller, hosts.lab.host(0)].map(({ spegel }) => cpuSeconds(spegel.service.pid ?? 0));
    const [puller = 0, holder = 0] = cpu();
    const took = (await pull()).seconds;
    const [pullerNow = 0, holderNow = 0] = cpu();
    const gb = layer.size / GB;
    return { seconds: took, puller: (pullerNow - puller) / gb, holder: (holderNow - holder) / gb };
  };
  const rounds: { readonly ours: Cost; readonly plain: Cost }[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const plain = await costOf(() => hosts.plain(layer));
    const ours = await costOf(() => hosts.pull(layer));
    say(`one holder, ${link}: ${seconds(ours.seconds)}, plain curl ${seconds(plain.seconds)}`);
    // The first round warms up.
    if (round > 0) rounds.push({ ours, plain });
  }
  const of = (way: 'ours' | 'plain', key: keyof Cost) => median(rounds.map((one) => one[way][key]));
  const times = median(rounds.map(({ ours, plain }) => ours.seconds / plain.seconds));
  const cpu = (way: 'ours' | 'plain', key: keyof Cost) => of(way, key).toFixed(2);
  return {
    what: `one holder, ${link}, 1 x ${LAYER_MIB} MiB; curl asks the own daemon; CPU of the daemons`,
    ours: `${seconds(of('ours', 'seconds'))}, puller ${cpu('ours', 'puller')}, holder ${cpu('ours', 'holder')} CPU-s/GB`,
    baseline: `plain curl from the holder: ${seconds(of('plain', 'seconds'))}, holder ${cpu('plain', 'holder')} CPU-s/GB`,
    ratio: `${times.toFixed(3)} x its time (aim: ${AIM}): ${times <= AIM ? 'met' : 'not met'}`,
  };
}
