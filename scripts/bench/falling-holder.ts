import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { waitUntil } from '../../lab/processes/exec.ts';
import { type HeldLayer, percent, SourceHosts, say, seconds, told } from './source-hosts.ts';
import { median, type Row } from './table.ts';

const ROUNDS = 3;
const LAYER_MIB = 128;
const FAST = '400mbit';
/** The fall may cost so many seconds. */
const AIM_S = 0.5;

/** What it costs when the only fast holder of a layer gets slow half-way. */
export async function benchFallingHolder(): Promise<Row[]> {
  await using hosts = await SourceHosts.create(4);
  const layers = await hosts.holdMany('falling', ROUNDS, LAYER_MIB);
  await hosts.warmUp();
  const rounds: { ours: number; rest: number; share: number }[] = [];
  for (const layer of layers) {
    await hosts.shape([FAST, '100mbit', '100mbit', '100mbit'], FAST);
    await hosts.forget();
    const { pulled, reached, ours } = await pullAndFall(hosts, layer);
    const rest = await restAlone(hosts, layer, reached);
    say(
      `falling holder: ${seconds(ours)} behind the fall, others ${seconds(rest)}; ${told(pulled)}`,
    );
    rounds.push({ ours, rest, share: pulled.shares[0] ?? 0 });
  }
  const of = (key: keyof (typeof rounds)[number]) => median(rounds.map((round) => round[key]));
  const longer = median(rounds.map(({ ours, rest }) => ours - rest));
  return [
    {
      what: `one holder with 400 Mbit/s, three with 100, puller 400, 1 x ${LAYER_MIB} MiB; the fast one falls to 1 Mbit/s half-way`,
      ours: `from there ${seconds(of('ours'))}; the one that fell sent ${percent(of('share'))} of all`,
      baseline: `the same rest by plain ranges from the three others at once: ${seconds(of('rest'))}`,
      ratio: `${seconds(longer)} longer (aim: ${AIM_S}): ${longer <= AIM_S ? 'met' : 'not met'}`,
    },
  ];
}

/** Pulls it, and has the first holder fall when half of it has reached the client. */
async function pullAndFall(hosts: SourceHosts, layer: HeldLayer) {
  const { holders, puller } = hosts;
  const file = join(puller.dir, 'body');
  // Of the round before: it is complete, and the holder would fall at once.
  await rm(file, { force: true });
  let [reached, fellAt, endedAt] = [0, 0, 0];
  const pulled = await hosts.measure(async () => {
    const pulling = puller.spegel.get(layer.path, '--fail', '--no-buffer', '--output', file);
    const isHalf = async () => {
      reached = await stat(file).then(
        ({ size }) => size,
        () => 0,
      );
      return reached >= layer.size / 2;
    };
    await Promise.all([
      pulling.then(() => {
        endedAt = performance.now();
      }),
      waitUntil('half of it is here', isHalf, { everyMs: 5 }).then(() => {
        fellAt = performance.now();
        return holders[0]?.net.rate('1mbit');
      }),
    ]);
  });
  return { pulled, reached, ours: (endedAt - fellAt) / 1_000 };
}

/** Seconds that the holders but the first take for what is left, each for an equal part. */
async function restAlone(hosts: SourceHosts, layer: HeldLayer, from: number): Promise<number> {
  const [, ...others] = hosts.holders;
  const part = Math.ceil((layer.size - from) / others.length);
  const { seconds: took } = await hosts.measure(() =>
    Promise.all(
      others.map(({ address }, index) => {
        const first = from + index * part;
        const range = `${first}-${Math.min(first + part, layer.size) - 1}`;
        const url = `http://${address}:5000${layer.path}`;
        return hosts.puller.net.curl('--fail', '--range', range, '--output', '/dev/null', url);
      }),
    ),
  );
  return took;
}
