import { setTimeout as sleep } from 'node:timers/promises';
import {
  countCopies,
  endOf,
  type FreshImage,
  freshImage,
  pullTogether,
  shapeLinks,
  startPulls,
  untilSettled,
} from '../../lab/fleet/inflight-pulls.ts';
import { Lab } from '../../lab/fleet/lab.ts';
import { startAsService } from './as-service.ts';
import { say, seconds } from './source-hosts.ts';
import { median, type Row } from './table.ts';

const ROUNDS = 3;
const OTHERS = 5;
const LAYER = { layers: 1, layerMiB: 32 } as const;
const FAST = '400mbit';
const SLOW = '12mbit';
/** The slow host is that much earlier, and so it leads. */
const HEAD_START_MS = 400;
const AIM = { seconds: 4, copies: 1.5 } as const;

/**
 * A host with a slow link is the first to ask for a fresh image, and gets it from the upstream for
 * all. Each of the others led an image of the same size before. Counts what the upstream sent until
 * all others had it: the slow host goes on to its end alone.
 */
export async function benchSlowLeader(): Promise<Row[]> {
  await using lab = await Lab.create({ hosts: 1 + OTHERS });
  await startAsService(lab);
  const images: FreshImage[] = [];
  for (let round = 0; round < ROUNDS; round += 1)
    images.push(await freshImage(lab, `slow-${round}`, LAYER));
  await ledBefore(lab);
  await lab.upstream.forget();
  const [slow, ...others] = lab.hosts;
  if (slow === undefined) throw new Error('no host');
  await slow.net.rate(SLOW);
  const rounds: { slowest: number; copies: number }[] = [];
  for (const { image, reference } of images) {
    const copies = await countCopies(lab, image);
    const [leader] = startPulls(lab, reference, { hosts: [slow] });
    await sleep(HEAD_START_MS);
    const end = await endOf(startPulls(lab, reference, { hosts: others }));
    const sent = await copies();
    if (end.errors.length > 0) throw new Error(end.errors.join('\n'));
    const tookMs = end.tookMs.map((ms) => ms ?? Number.POSITIVE_INFINITY);
    say(
      `${tookMs.map((ms) => seconds(ms / 1_000)).join(' ')}; ${sent.toFixed(2)} copies until then`,
    );
    rounds.push({ slowest: Math.max(...tookMs) / 1_000, copies: sent });
    await leader?.ended;
  }
  const slowest = median(rounds.map((round) => round.slowest));
  const copies = median(rounds.map((round) => round.copies));
  const isMet = slowest <= AIM.seconds && copies <= AIM.copies;
  const aim = `aim: ${AIM.seconds} s, ${AIM.copies} copies`;
  return [
    {
      what: `${OTHERS} hosts with 400 Mbit/s follow a leader with 12, each led another image lately; 1 x ${LAYER.layerMiB} MiB`,
      ours: `slowest of the others ${seconds(slowest)}, ${copies.toFixed(2)} copies until then`,
      baseline: `${aim}: ${isMet ? 'met' : 'not met'}`,
      ratio: '',
    },
  ];
}

/** All hosts get warm, and each of the fast ones leads an image. */
async function ledBefore(lab: Lab): Promise<void> {
  const warm = await freshImage(lab, 'warm-up', { layers: 4, layerMiB: 1 });
  const led = await Promise.all(
    lab.hosts.map(({ name }) => freshImage(lab, `led-by-${name.toLowerCase()}`, LAYER)),
  );
  await untilSettled(lab);
  const { errors } = await pullTogether(lab, warm.reference, warm.image);
  if (errors.length > 0) throw new Error(errors.join('\n'));
  await shapeLinks(lab, { links: FAST, upstream: FAST });
  for (const [index, { reference }] of led.entries()) {
    const host = lab.hosts[index];
    if (index > 0) await host?.containerd.fetch(reference);
  }
}
