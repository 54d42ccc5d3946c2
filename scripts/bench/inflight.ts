import { join } from 'node:path';
import {
  pullTogether,
  SHARED_CORES_FLAGS,
  shapeLinks,
  untilSettled,
} from '../../lab/fleet/inflight-pulls.ts';
import { Lab, labMissing } from '../../lab/fleet/lab.ts';
import { type ImageShape, type Layout, makeImage } from '../../lab/images/images.ts';
import { median, missing, type Row } from './table.ts';

const HOSTS = 8;
const ROUNDS = 3;
/** Fetches without Spegel: no hosts.toml, straight to the registry. */
const STRAIGHT = { hostsDir: null, plainHttp: true, local: true } as const;

interface Case {
  readonly what: string;
  readonly links: string;
  readonly layers: number;
  readonly layerMiB: number;
  readonly staggerMs: number;
}

const SMALL: Case = { what: '4 x 24 MiB', links: '100mbit', layers: 4, layerMiB: 24, staggerMs: 0 };
const LARGE: Case = { ...SMALL, what: '1 x 96 MiB', layers: 1, layerMiB: 96 };

const CASES: readonly Case[] = [
  { ...SMALL, what: '4 x 24 MiB, hosts at 400 Mbit/s, upstream at 100', links: '400mbit' },
  { ...SMALL, what: '4 x 24 MiB, all at 100 Mbit/s' },
  { ...LARGE, what: '1 x 96 MiB, all at 100 Mbit/s' },
  { ...LARGE, what: '1 x 96 MiB, all at 100 Mbit/s, a host every 0.5 s', staggerMs: 500 },
  { ...SMALL, what: '4 x 24 MiB, all at 100 Mbit/s, a host every 0.5 s', staggerMs: 500 },
];

/** A fleet that pulls one fresh image at once, on real containerd 2.1. Needs root on Debian. */
export async function benchInflight(): Promise<Row[]> {
  const what = `${HOSTS} hosts pull one fresh image at once`;
  const reason = await labMissing();
  if (reason !== false) return [missing(what, reason)];
  const rows: Row[] = [];
  for (const one of CASES) rows.push(await inflightRow(one));
  return rows;
}

/**
 * Each round: one host alone and straight from the upstream, then all of them through Spegel, with
 * new images.
 */
async function inflightRow({ what, links, layers, layerMiB, staggerMs }: Case): Promise<Row> {
  await using lab = await Lab.create({
    hosts: HOSTS,
    spegel: { flags: { ...SHARED_CORES_FLAGS, 'log-level': 'INFO' } },
  });
  await untilSettled(lab);
  // A daemon that has just started compiles what it runs for the first time, eight of them on these
  // few cores.
  await pullTogether(lab, ...(await pushed(lab, 'warm', { layers: 4, layerMiB: 1 })));
  await shapeLinks(lab, { links, upstream: '100mbit' });
  const rounds: { alone: number; slowest: number; copies: number; manifests: number }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const [reference] = await pushed(lab, `alone-${round}`, { layers, layerMiB });
    const started = performance.now();
    await lab.host(round).containerd.fetch(reference, STRAIGHT);
    const alone = performance.now() - started;
    const image = await pushed(lab, `inflight-${round}`, { layers, layerMiB });
    await lab.upstream.forget();
    const { tookMs, errors, copies } = await pullTogether(lab, ...image, { staggerMs });
    if (errors.length > 0) throw new Error(errors.join('\n'));
    const slowest = Math.max(...tookMs.map((ms) => ms ?? Number.POSITIVE_INFINITY));
    rounds.push({ alone, slowest, copies, manifests: await manifestGets(lab) });
  }
  const of = (key: keyof (typeof rounds)[number]) => median(rounds.map((round) => round[key]));
  const ratio = median(rounds.map(({ slowest, alone }) => slowest / alone));
  return {
    what: `${HOSTS} hosts pull ${what}`,
    ours: `slowest ${seconds(of('slowest'))}; the upstream sent ${of('copies').toFixed(2)} copies, ${of('manifests')} manifest GETs`,
    baseline: `one host alone, without Spegel: ${seconds(of('alone'))}`,
    ratio: `${ratio.toFixed(2)} x its time`,
  };
}

/** Of manifests by their digest, since the upstream's log was forgotten. */
async function manifestGets(lab: Lab): Promise<number> {
  const requests = await lab.upstream.requests();
  return requests.filter(
    ({ method, uri }) => method === 'GET' && uri.includes('/manifests/sha256:'),
  ).length;
}

async function pushed(
  lab: Lab,
  name: string,
  shape: Pick<ImageShape, 'layers' | 'layerMiB'>,
): Promise<[string, Layout]> {
  const image = await makeImage(join(lab.dir, name), { seed: name, ...shape });
  return [await lab.upstream.push(image, `fresh/${name}`), image];
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
