import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { labMissing } from '../../lab/fleet/lab.ts';
import { type LayerHosts, putLayers, twoServices } from './layer-hosts.ts';
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
const CLIENT = join(import.meta.dirname, 'range-client.ts');
/** A range may cost so many times the CPU of the same bytes in one body. */
const MAX_TIMES = 1.2;

type Kind = RangeClientOptions['kind'];
/** From the peer's own address, or through the daemon of the client's host. */
type Through = 'direct' | 'relay';

interface Cost {
  readonly seconds: number;
  /** CPU-s per GB of the daemon that answers the client. */
  readonly cpu: number;
}

/** Gets `count` ranges, or the same bytes in whole bodies. */
async function costOf(
  { holder, client, layer }: LayerHosts,
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
    path: layer.path,
    size: layer.size,
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
  await using lab = await twoServices();
  const hosts = await putLayers(lab, { name: 'ranges', layerMiB: LAYER_MIB });
  const rows: Row[] = [];
  for (const through of ['direct', 'relay'] as const) {
    rows.push(await compareClosed(hosts, through));
    rows.push(await hangUps(hosts, through));
  }
  return rows;
}

async function compareClosed(hosts: LayerHosts, through: Through): Promise<Row> {
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

async function hangUps(hosts: LayerHosts, through: Through): Promise<Row> {
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
