import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { blobPath, untilFound } from '../../lab/fleet/fleet.ts';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { startAsService } from './as-service.ts';
import type { RangeClientOptions } from './range-client.ts';
import { cpuSeconds, median, missing, type Row, residentMb } from './table.ts';

const ROUNDS = 5;
const MIB = 1024 * 1024;
const GB = 1e9;
const LAYER_MIB = 1024;
const RANGE_MIB = 8;
/** Of each round; 5 rounds are some 2,000 of each kind. */
const RANGES = 384;
const CONNECTIONS = 4;
const REPOSITORY = 'bench/ranges';
const CLIENT = join(import.meta.dirname, 'range-client.ts');
/** A range may cost so many times the CPU of the same bytes in one body. */
const MAX_TIMES = 1.2;

/** Two hosts that one layer goes between, and how the client on the second one asks for it. */
export interface RangeHosts {
  readonly holder: LabHost;
  readonly client: LabHost;
  readonly path: string;
  /** Of the layer in bytes: some more than LAYER_MIB. */
  readonly size: number;
}

/** The layer is in the first host's content store, and the second host finds it there. */
export async function startRangeHosts(lab: Lab): Promise<RangeHosts> {
  const shape = { seed: 'ranges', layers: 1, layerMiB: LAYER_MIB };
  const image = await makeImage(join(lab.dir, 'ranges'), shape);
  await lab.upstream.push(image, REPOSITORY);
  const [holder, client] = [lab.host(0), lab.host(1)];
  await holder.containerd.fetch(`${lab.upstream.registry}/${REPOSITORY}:v1`);
  await untilFound(lab, client, REPOSITORY, image);
  const layer = image.manifests[0]?.layers[0];
  const path = blobPath(lab, REPOSITORY, layer?.digest ?? '');
  return { holder, client, path, size: layer?.size ?? 0 };
}

export type Kind = RangeClientOptions['kind'];
/** From the peer's own address, or through the daemon of the client's host. */
export type Through = 'direct' | 'relay';

export interface Cost {
  readonly seconds: number;
  /** CPU-s per GB of the daemon that answers the client. */
  readonly cpu: number;
}

/** Gets `count` ranges, or the same bytes in whole bodies. */
export async function costOf(
  { holder, client, path, size }: RangeHosts,
  through: Through,
  kind: Kind,
  count: number,
  connections = CONNECTIONS,
): Promise<Cost> {
  const asked = through === 'direct' ? holder : client;
  const pid = asked.spegel.service.pid ?? 0;
  const gb = (count * RANGE_MIB * MIB) / GB;
  const options: RangeClientOptions = {
    host: through === 'direct' ? holder.address : '127.0.0.1',
    port: 5000,
    path,
    size,
    bytes: RANGE_MIB * MIB,
    count: kind === 'whole' ? (count * RANGE_MIB) / LAYER_MIB : count,
    connections,
    kind,
  };
  const before = cpuSeconds(pid);
  const { stdout } = await client.net.run([process.execPath, CLIENT, JSON.stringify(options)], {
    timeoutMs: 600_000,
  });
  return { seconds: Number(stdout), cpu: (cpuSeconds(pid) - before) / gb };
}

/**
 * What ranges of a layer cost against one body of the same bytes, as containerd 2.1 and later ask
 * for them, and whether clients that hang up leave anything behind.
 */
export async function benchRanges(): Promise<Row[]> {
  const reason = await labMissing();
  if (reason !== false) return [missing('ranges of a layer over veth', reason)];
  await using lab = await Lab.create({ hosts: 2 });
  await startAsService(lab);
  const hosts = await startRangeHosts(lab);
  const rows: Row[] = [];
  for (const through of ['direct', 'relay'] as const) {
    rows.push(await compareClosed(hosts, through));
    rows.push(await hangUps(hosts, through));
  }
  return rows;
}

async function compareClosed(hosts: RangeHosts, through: Through): Promise<Row> {
  const costs: { readonly closed: number; readonly whole: number }[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const closed = (await costOf(hosts, through, 'closed', RANGES)).cpu;
    const whole = (await costOf(hosts, through, 'whole', RANGES)).cpu;
    // The first round warms up.
    if (round > 0) costs.push({ closed, whole });
  }
  const closed = median(costs.map((cost) => cost.closed));
  const whole = median(costs.map((cost) => cost.whole));
  const isMet = closed <= MAX_TIMES * whole;
  return {
    what: `${ROUNDS * RANGES} closed ranges of ${RANGE_MIB} MiB, ${through}, against whole bodies`,
    ours: `${closed.toFixed(2)} CPU-s/GB`,
    baseline: `${whole.toFixed(2)} CPU-s/GB`,
    ratio: `${(closed / whole).toFixed(2)} x (aim: ${MAX_TIMES}): ${isMet ? 'met' : 'not met'}`,
  };
}

async function hangUps(hosts: RangeHosts, through: Through): Promise<Row> {
  const daemons = [hosts.holder, hosts.client].map(({ spegel }) => spegel.service.pid ?? 0);
  const state = () =>
    daemons
      .map((pid) => `${descriptors(pid)} descriptors, ${residentMb(pid).own.toFixed(0)} MB`)
      .join('; ');
  await costOf(hosts, through, 'open', RANGES);
  const before = state();
  for (let round = 0; round < ROUNDS; round += 1) await costOf(hosts, through, 'open', RANGES);
  return {
    what: `${ROUNDS * RANGES} open-ended ranges, ${through}, the client hangs up after ${RANGE_MIB} MiB: peer; own daemon`,
    ours: state(),
    baseline: `before: ${before}`,
    ratio: '',
  };
}

function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
