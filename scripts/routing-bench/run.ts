import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { REFRESH_AFTER } from '../../lib/routing/dht/constants.ts';
import {
  type AllLookups,
  announceHeld,
  heldKeys,
  measureCold,
  measureFaults,
  measureWarm,
  STREAMS_CLOSE_MS,
} from './lookups.ts';
import {
  type Cost,
  type Idle,
  type LibraryCost,
  measureAdvertise,
  measureFresh,
  measureIdle,
  measureLibrary,
  measureRefresh,
  type RefreshCost,
} from './measure.ts';
import type { Memory } from './meter.ts';
import { type Network, REFRESH_TTL_MS, startLibraryNetwork, startNetwork } from './network.ts';

/** Everything that was measured in a network of one size. */
export interface Measured {
  readonly size: number;
  readonly joinMs: number;
  /** CPU seconds per node that joining took, identities and JIT included. */
  readonly joinCpu: number;
  readonly idle: Idle;
  /** Of a process of one node that knows all others and holds no record. */
  readonly memory: Memory;
  readonly advertise: Cost;
  readonly refresh: RefreshCost;
  readonly fresh: readonly number[];
  readonly lookups: AllLookups;
  readonly library: LibraryCost | undefined;
}

/** When the first of the keys announced together are due, as a share of the refresh interval. */
const FIRST_ROUND = 0.5;

/** Takes a minute and a half for a small network. `say` gets the name of each step. */
export async function measureNetwork(
  size: number,
  libraryKeys: number,
  say: (what: string) => void,
): Promise<Measured> {
  const ours = await measureOurs(size, (what) => say(`${size} nodes: ${what}`));
  if (libraryKeys === 0) return { ...ours, library: undefined };
  say(`${size} nodes of the library: joining`);
  await using network = await startLibraryNetwork(size);
  say(`${size} nodes of the library: providing`);
  return { ...ours, library: await measureLibrary(network, libraryKeys) };
}

async function measureOurs(
  size: number,
  say: (what: string) => void,
): Promise<Omit<Measured, 'library'>> {
  say('joining');
  await using network = await startNetwork(size);
  const joinCpu = (await cpuOf(network)) / size;
  const memory = await network.receiver.call('memory');
  await announceHeld(network);
  const keys = heldKeys();
  say('lookups');
  await sleep(STREAMS_CLOSE_MS);
  const cold = await measureCold(network, keys);
  const warm = await measureWarm(network, keys);
  // After the start and the first lookups: compiling their code would count as the cost of idling.
  say('idle');
  const idle = await measureIdle(network);
  say('advertising');
  const advertise = await measureAdvertise(network, idle);
  say('refreshing');
  const refresh = await measureRefresh(network, idle, FIRST_ROUND * REFRESH_AFTER * REFRESH_TTL_MS);
  say('fresh keys during a refresh');
  const fresh = await measureFresh(network);
  say('faults');
  const faults = await measureFaults(network, keys);
  const { joinMs } = network;
  const lookups = { cold, warm, ...faults };
  return { size, joinMs, joinCpu, idle, memory, advertise, refresh, fresh, lookups };
}

async function cpuOf({ all }: Network): Promise<number> {
  const usages = await Promise.all(all.map((each) => each.call('usage')));
  return usages.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
}

/** Bytes of heap per record, with `holders` records per key. */
export async function recordBytes(holders: number): Promise<number> {
  const script = join(import.meta.dirname, 'record-memory.ts');
  const arguments_ = ['--expose-gc', script, String(holders)];
  const { stdout } = await promisify(execFile)(process.execPath, arguments_);
  const { bytes, records } = JSON.parse(stdout);
  return bytes / records;
}
