import { shapeLinks } from '../../lab/fleet/inflight-pulls.ts';
import { SourceHosts, say, seconds, told } from './source-hosts.ts';
import { median, type Row } from './table.ts';

const ROUNDS = 3;
const HOLDERS = 4;
const PULLERS = 12;
const LAYER_MIB = 48;
const LINKS = '50mbit';
/** The slowest may take so many times what one link takes; the ideal is 1.0 to 1.3. */
const AIM = 1.6;

/**
 * Many hosts pull at once what few have, each by its containerd: a body that ends early goes on
 * from the upstream, and what has arrived is on disk for others.
 */
export async function benchManyPullers(): Promise<Row[]> {
  await using hosts = await SourceHosts.create(HOLDERS, PULLERS);
  const layers = await hosts.holdMany('many', ROUNDS, LAYER_MIB);
  await hosts.warmUp();
  await shapeLinks(hosts.lab, { links: LINKS, upstream: LINKS });
  const upstream = hosts.lab.upstream.net;
  const rounds: { slowest: number; plain: number; copies: number; upstream: number }[] = [];
  for (const layer of layers) {
    const plain = (await hosts.plain(layer)).seconds;
    const before = await upstream.bytesSent();
    const pulled = await hosts.measure(() =>
      Promise.all(hosts.pullers.map((puller) => hosts.fetch(layer, puller))),
    );
    const copies = pulled.sent / layer.size;
    const bare = ((await upstream.bytesSent()) - before) / layer.size;
    say(
      `${PULLERS} pullers: ${told(pulled)}, ${copies.toFixed(1)} copies, the upstream ${bare.toFixed(1)}; plain ${seconds(plain)}`,
    );
    rounds.push({ slowest: pulled.seconds, plain, copies, upstream: bare });
  }
  const of = (key: keyof (typeof rounds)[number]) => median(rounds.map((round) => round[key]));
  const times = median(rounds.map(({ slowest, plain }) => slowest / plain));
  return [
    {
      what: `${PULLERS} hosts pull at once what ${HOLDERS} hold, all links 50 Mbit/s, 1 x ${LAYER_MIB} MiB; containerd fetches`,
      ours: `slowest ${seconds(of('slowest'))}; the holders sent ${of('copies').toFixed(1)} copies, the upstream ${of('upstream').toFixed(1)}`,
      baseline: `plain curl of one host from one holder: ${seconds(of('plain'))}`,
      ratio: `${times.toFixed(2)} x one link's time (aim: ${AIM}): ${times <= AIM ? 'met' : 'not met'}`,
    },
  ];
}
