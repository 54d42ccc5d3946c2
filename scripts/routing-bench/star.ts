import { setTimeout as sleep } from 'node:timers/promises';
import type { OurNodes } from './nodes.ts';
import { NodesProcess } from './process.ts';
import type { RawNodes } from './raw-nodes.ts';

/** A node in a process of its own, and the cost of its connections. */
export interface Star {
  readonly connections: number;
  readonly residentMb: number;
  readonly heapMb: number;
  /** CPU seconds for accepting one connection, in the mean of all so far. */
  readonly acceptCpu: number;
  /** CPU seconds per second with nothing to do. */
  readonly idleCpu: number;
}

const ENDPOINT = `127.${64 + (process.pid % 128)}.255.1:15001`;
const SETTLE_MS = 3_000;
/** The interval in which connections are pinged. */
const IDLE_MS = 15_000;

/**
 * Measures what a connection itself costs: many nodes connect to one of our nodes and send nothing.
 */
export async function measureStar(counts: readonly number[]): Promise<Star[]> {
  const centre = new NodesProcess<OurNodes>('ours');
  const others = new NodesProcess<RawNodes>('raw');
  try {
    await centre.call('start', { endpoint: ENDPOINT, peers: [], advertiseTtlMs: 600_000 });
    await sleep(SETTLE_MS);
    const begun = (await centre.call('usage')).cpuSeconds;
    const stars: Star[] = [];
    let idled = 0;
    for (const connections of counts) {
      await others.call('connect', ENDPOINT, connections);
      await sleep(SETTLE_MS);
      const connected = (await centre.call('usage')).cpuSeconds;
      const { residentMb, heapMb } = await centre.call('memory');
      const before = (await centre.call('usage')).cpuSeconds;
      await sleep(IDLE_MS);
      const after = (await centre.call('usage')).cpuSeconds;
      const acceptCpu = (connected - begun - idled) / connections;
      const idleCpu = (after - before) / (IDLE_MS / 1000);
      idled += after - connected;
      stars.push({ connections, residentMb, heapMb, acceptCpu, idleCpu });
    }
    return stars;
  } finally {
    await Promise.all([centre.kill(), others.kill()]);
  }
}
