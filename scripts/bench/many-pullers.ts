import type { LabHost } from '../../lab/fleet/lab.ts';
import { type HeldLayer, type Pulled, SourceHosts, say, seconds, told } from './source-hosts.ts';
import { median, type Row } from './table.ts';

const ROUNDS = 3;
const HOLDERS = 4;
const PULLERS = 12;
const LAYER_MIB = 48;
const LINKS = '50mbit';
/** The slowest may take so many times what one link takes; the ideal is 1.0 to 1.3. */
const AIM = 1.6;

type Pull = (hosts: SourceHosts, layer: HeldLayer, puller: LabHost) => Promise<unknown>;

/** Many hosts pull at once what few have; each by its containerd, which keeps what it got. */
export function benchManyPullers(): Promise<Row[]> {
  return manyPullers('containerd fetches', (hosts, layer, puller) => hosts.fetch(layer, puller));
}

/**
 * The same by curl: cheaper for the cores that the hosts share, but a puller has nothing on disk to
 * pass on, only what its daemon has in memory.
 */
export function benchManyPullersByCurl(): Promise<Row[]> {
  const how = 'curl asks the own daemons, so no puller has a file to pass on';
  return manyPullers(how, (hosts, layer, puller) => hosts.pull(layer, puller));
}

async function manyPullers(how: string, pull: Pull): Promise<Row[]> {
  await using hosts = await SourceHosts.create(HOLDERS, PULLERS);
  const layers = await hosts.holdMany('many', ROUNDS, LAYER_MIB);
  await hosts.warmUp();
  await hosts.shape(Array<string>(HOLDERS).fill(LINKS), LINKS);
  const rounds: { slowest: number; plain: number; copies: number }[] = [];
  for (const layer of layers) {
    const plain = (await hosts.plain(layer)).seconds;
    const pulled = await pullAll(hosts, layer, pull);
    const copies = pulled.sent / layer.size;
    say(
      `${PULLERS} pullers, ${how}: ${told(pulled)}, ${copies.toFixed(1)} copies; plain ${seconds(plain)}`,
    );
    rounds.push({ slowest: pulled.seconds, plain, copies });
  }
  const of = (key: keyof (typeof rounds)[number]) => median(rounds.map((round) => round[key]));
  const times = median(rounds.map(({ slowest, plain }) => slowest / plain));
  return [
    {
      what: `${PULLERS} hosts pull at once what ${HOLDERS} hold, all links 50 Mbit/s, 1 x ${LAYER_MIB} MiB; ${how}`,
      ours: `slowest ${seconds(of('slowest'))}; the holders sent ${of('copies').toFixed(1)} copies`,
      baseline: `plain curl of one host from one holder: ${seconds(of('plain'))}`,
      ratio: `${times.toFixed(2)} x one link's time (aim: ${AIM}): ${times <= AIM ? 'met' : 'not met'}`,
    },
  ];
}

/** All at once; it takes as long as the slowest. */
function pullAll(hosts: SourceHosts, layer: HeldLayer, pull: Pull): Promise<Pulled> {
  return hosts.measure(() =>
    Promise.all(hosts.pullers.map((puller) => pull(hosts, layer, puller))),
  );
}
