import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { untilSettled } from '../../lab/fleet/inflight-pulls.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { type ImageShape, makeImage } from '../../lab/images/images.ts';
import { storeImage } from '../../lab/registries/quick-push.ts';
import { startAsService } from './as-service.ts';
import { cpuSeconds, median, missing, printTable, type Row } from './table.ts';

const HOSTS = 4;
const CPU_ROUNDS = 3;
const TIME_ROUNDS = 9;
/** Each of these images differs in all of its blobs from the others. */
const IMAGES = 20;
const TINY = { layers: 100, layerBytes: 512, gzip: false };
/** Manifest, config and layers. */
const BLOBS = IMAGES * (TINY.layers + 2);
const SMALL = { layers: 30, layerBytes: 50 * 1024, gzip: false };
/** Fetches without Spegel: no hosts.toml, straight to the registry. */
const STRAIGHT = { hostsDir: null, plainHttp: true } as const;
/** For what a pull leaves to be done: content events, announcements, reports. */
const AFTERWARDS_MS = 3_000;
const AIM = { puller: 1.5, other: 0.3, times: 1.2 };

/** Milliseconds of CPU per blob. */
export interface BlobCost {
  readonly puller: number;
  /** The median of the other hosts. */
  readonly other: number;
}

/**
 * What small blobs that nobody has cost: the CPU of the daemons, and the time against no Spegel.
 * Real containerd, hosts joined by veth, default options.
 */
export async function benchSmallBlobs(): Promise<Row[]> {
  const reason = await labMissing();
  if (reason !== false) return [missing('a cold pull of small blobs', reason)];
  await using lab = await smallBlobLab();
  const times: { readonly ours: number; readonly straight: number }[] = [];
  for (let round = 0; round < TIME_ROUNDS; round += 1) {
    const ours = await secondsOfPull(lab, `ours-${round}`);
    times.push({ ours, straight: await secondsOfPull(lab, `straight-${round}`, STRAIGHT) });
  }
  const costs: BlobCost[] = [];
  for (let round = 0; round < CPU_ROUNDS; round += 1)
    costs.push(await costOfBlobs(lab, `tiny-${round}`));
  return [...cpuRows(costs), timeRow(times)];
}

function cpuRows(costs: readonly BlobCost[]): Row[] {
  const row = (who: string, ms: number, go: number, aim: number): Row => ({
    what: `cold pull of ${IMAGES} images of ${TINY.layers} layers of 0.5 KB, ${HOSTS} hosts: CPU per blob; ${who}`,
    ours: `${ms.toFixed(2)} ms`,
    baseline: `Go Spegel 0.7.4, seen earlier on such a machine: ${go} ms; aim: ${aim}`,
    ratio: `${(ms / go).toFixed(1)} x of that, ${ms <= aim ? 'met' : 'not met'}`,
  });
  const of = (who: keyof BlobCost) => median(costs.map((cost) => cost[who]));
  return [
    row("the pulling host's daemon", of('puller'), 2.3, AIM.puller),
    row('that of each other host, median', of('other'), 0.7, AIM.other),
  ];
}

function timeRow(times: readonly { readonly ours: number; readonly straight: number }[]): Row {
  const [ours, straight] = [
    median(times.map((time) => time.ours)),
    median(times.map((time) => time.straight)),
  ];
  return {
    what: `cold pull of 1 image of ${SMALL.layers} layers of 50 KB that nobody has, ${HOSTS} hosts`,
    ours: `${ours.toFixed(3)} s`,
    baseline: `without Spegel: ${straight.toFixed(3)} s`,
    ratio: `${(ours / straight).toFixed(2)} x its time (aim: ${AIM.times}): ${ours <= AIM.times * straight ? 'met' : 'not met'}`,
  };
}

/** A settled fleet. The daemons have compiled what a pull runs: each host has pulled an image. */
export async function smallBlobLab(program?: readonly string[]): Promise<Lab> {
  const lab = await Lab.create({ hosts: HOSTS });
  await startAsService(lab, program);
  await untilSettled(lab);
  for (const host of lab.hosts) {
    const name = `warm-${host.name}`;
    await host.containerd.fetch(await pushed(lab, name, { layers: 30, layerBytes: 512 }));
  }
  return lab;
}

/** Pulls images that nobody has to one host, one after the other. `name`: unique in the lab. */
export async function costOfBlobs(lab: Lab, name: string): Promise<BlobCost> {
  const references: string[] = [];
  for (let index = 0; index < IMAGES; index += 1)
    references.push(await pushed(lab, `${name}-${index}`, TINY));
  await sleep(AFTERWARDS_MS);
  const before = lab.hosts.map(cpuOf);
  for (const reference of references) await lab.host(0).containerd.fetch(reference);
  await sleep(AFTERWARDS_MS);
  const spent = lab.hosts.map((host, index) => cpuOf(host) - (before[index] ?? 0));
  const [puller = Number.NaN, ...others] = spent.map((seconds) => (seconds * 1_000) / BLOBS);
  return { puller, other: median(others) };
}

/** Seconds that a host needs for an image that nobody has. `name`: unique in the lab. */
export async function secondsOfPull(
  lab: Lab,
  name: string,
  how: typeof STRAIGHT | Record<string, never> = {},
): Promise<number> {
  const reference = await pushed(lab, name, SMALL);
  const began = performance.now();
  await lab.host(0).containerd.fetch(reference, how);
  return (performance.now() - began) / 1_000;
}

async function pushed(lab: Lab, name: string, shape: Omit<ImageShape, 'seed'>): Promise<string> {
  const image = await makeImage(join(lab.dir, name), { seed: name, ...shape });
  await storeImage(lab.upstream, image, `small/${name}`);
  return `${lab.upstream.registry}/small/${name}:${image.tag}`;
}

function cpuOf({ spegel }: LabHost): number {
  return cpuSeconds(spegel.service.pid ?? 0);
}

if (import.meta.main) printTable(await benchSmallBlobs());
