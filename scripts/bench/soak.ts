import { setTimeout as sleep } from 'node:timers/promises';
import { type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { putLayers, twoServices } from './layer-hosts.ts';
import { cpuSeconds, missing, type Row, residentMb } from './table.ts';

const MINUTES = 30;
const LAYERS = 5;
const LAYER_MIB = 100;
const TENTHS = 10;
/** A tenth of 50 GB, in layers of LAYER_MIB. */
const LAYERS_PER_TENTH = 48;
const GB = 1e9;
const WHAT = `${MINUTES} minutes, 50 GB through one daemon`;
/** On a busy machine a peer may answer too late now and then. */
const MAX_MISSES = 5;
/** Above it, the end differs from the first tenth. */
const MAX_GROWTH = 1.05;

interface Tenth {
  /** CPU-s per GB. */
  readonly cpu: number;
  /** Own memory in MB, at its end. */
  readonly own: number;
  /** How often the layer was not found, and asked for again: containerd would go upstream. */
  readonly misses: number;
}

/**
 * A daemon relays 50 GB to its own client in half an hour: whether a GB at the end costs what one
 * costs in the beginning, and whether memory grows.
 */
export async function benchSoak(): Promise<Row[]> {
  const reason = await labMissing();
  if (reason !== false) return [missing(WHAT, reason)];
  await using lab = await twoServices();
  const shape = { name: 'soak', layers: LAYERS, layerMiB: LAYER_MIB };
  const { client, layers } = await putLayers(lab, shape);
  const urls = layers.map(({ path }) => `http://127.0.0.1:5000${path}`);
  const pid = client.spegel.service.pid ?? 0;
  const tenths: Tenth[] = [];
  for (let tenth = 0; tenth < TENTHS; tenth += 1) {
    const before = cpuSeconds(pid);
    const until = performance.now() + (MINUTES * 60_000) / TENTHS;
    let misses = 0;
    for (let count = 0; count < LAYERS_PER_TENTH; count += 1) {
      const url = urls[count % urls.length] ?? '';
      while (!(await isFound(client, url))) {
        misses += 1;
        if (misses > MAX_MISSES) throw new Error(`${misses} times in a tenth: no peer has ${url}`);
      }
      const pauseMs = (until - performance.now()) / (LAYERS_PER_TENTH - count);
      await sleep(Math.max(0, pauseMs));
    }
    const gb = (LAYERS_PER_TENTH * LAYER_MIB * 1024 * 1024) / GB;
    tenths.push({ cpu: (cpuSeconds(pid) - before) / gb, own: residentMb(pid).own, misses });
    process.stderr.write(`soak: ${tenth + 1} of ${TENTHS} tenths\n`);
  }
  return [soakRow(tenths)];
}

/** Gets a layer; false: nobody had it in time. */
async function isFound({ net }: LabHost, url: string): Promise<boolean> {
  const told = ['--output', '/dev/null', '--write-out', '%{http_code}'];
  const status = await net.curl(...told, url);
  if (status !== '200' && status !== '404') throw new Error(`${url}: ${status}`);
  return status === '200';
}

function soakRow(tenths: readonly Tenth[]): Row {
  const [first, last] = [tenths[0], tenths.at(-1)];
  const text = (tenth?: Tenth) =>
    `${tenth?.cpu.toFixed(2)} CPU-s/GB, ${tenth?.own.toFixed(0)} MB of its own`;
  const growth = (value: keyof Tenth) => (last?.[value] ?? 0) / (first?.[value] ?? 0);
  const [cpu, own] = [growth('cpu'), growth('own')];
  const isMet = Math.max(cpu, own) <= MAX_GROWTH;
  return {
    what: `${WHAT} (${LAYER_MIB} MiB layers, relayed): the last tenth`,
    ours: `${text(last)}; ${tenths.reduce((sum, { misses }) => sum + misses, 0)} misses in all`,
    baseline: `the first tenth: ${text(first)}`,
    ratio: `CPU ${cpu.toFixed(2)} x, memory ${own.toFixed(2)} x (aim: ${MAX_GROWTH}): ${isMet ? 'met' : 'not met'}`,
  };
}
