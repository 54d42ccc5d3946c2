import { setTimeout as sleep } from 'node:timers/promises';
import type { Network } from './network.ts';
import { benchKey, type Looked } from './nodes.ts';

/** Milliseconds, one per lookup. */
export interface LookupTimes {
  readonly first: readonly number[];
  readonly miss: readonly number[];
}

export interface AllLookups {
  /** The first lookup of each node, without an open stream. */
  readonly cold: LookupTimes;
  readonly warm: LookupTimes;
  /** A tenth of the nodes is killed: at once, and after they have left the routing tables. */
  readonly killed: LookupTimes;
  readonly settled: LookupTimes;
  /** A tenth of the nodes is frozen, too: at once. */
  readonly frozen: LookupTimes;
}

const WARM = 400;
const AFTER_FAULT = 200;
/**
 * Keys that the holder announces. Each is looked up only once, because a hit is remembered for
 * seconds.
 */
const HELD = 2_000;
/** Longer than a stream without questions stays open. */
export const STREAMS_CLOSE_MS = 9_000;
const SETTLE_MS = 20_000;

/** Has the holder announce the keys that will be looked up. */
export async function announceHeld({ holder }: Network): Promise<void> {
  await holder.call('advertise', 'held', 0, HELD);
}

/** Expects that no stream was used in the last nine seconds, so that all are closed. */
export async function measureCold(network: Network, keys: Iterator<string>): Promise<LookupTimes> {
  const first = await eachNode(network, keys);
  await sleep(STREAMS_CLOSE_MS);
  const miss = await eachNode(network, absent('cold'));
  return { first: first.map(firstMs), miss: miss.map(({ totalMs }) => totalMs) };
}

/** One lookup by each node outside the holder's process, one after another. */
async function eachNode(network: Network, keys: Iterator<string>): Promise<Looked[]> {
  const { sender, receiver, killed, frozen, others } = network;
  const looked: Looked[] = [];
  for (const process of [sender, receiver, killed, frozen, ...others]) {
    const { length } = await process.call('peers');
    looked.push(...(await process.call('lookup', take(keys, length), true)));
  }
  return looked;
}

export function measureWarm(network: Network, keys: Iterator<string>): Promise<LookupTimes> {
  return lookups(network, keys, absent('warm'), WARM);
}

export async function measureFaults(
  network: Network,
  keys: Iterator<string>,
): Promise<Pick<AllLookups, 'killed' | 'settled' | 'frozen'>> {
  const { killed, frozen, size } = network;
  const dead = (await killed.call('peers')).length;
  await killed.kill();
  const misses = absent('fault');
  const atOnce = await lookups(network, keys, misses, AFTER_FAULT);
  await untilPeers(network, size - 1 - dead);
  const settled = await lookups(network, keys, misses, AFTER_FAULT);
  await frozen.kill('SIGSTOP');
  return { killed: atOnce, settled, frozen: await lookups(network, keys, misses, AFTER_FAULT) };
}

async function untilPeers({ receiver }: Network, count: number): Promise<void> {
  const end = performance.now() + SETTLE_MS;
  while ((await receiver.call('peers')).some((peers) => peers > count)) {
    if (performance.now() > end) throw new Error('killed nodes are still in the table');
    await sleep(100);
  }
}

/** The receiver looks up held and absent keys in turn. */
async function lookups(
  { receiver }: Network,
  held: Iterator<string>,
  absentKeys: Iterator<string>,
  count: number,
): Promise<LookupTimes> {
  const first: number[] = [];
  const miss: number[] = [];
  for (let round = 0; round < count; round += 1) {
    const [hit, none] = await receiver.call('lookup', [...take(held, 1), ...take(absentKeys, 1)]);
    if (hit !== undefined) first.push(firstMs(hit));
    if (none !== undefined) miss.push(none.totalMs);
  }
  return { first, miss };
}

/**
 * Milliseconds to the first provider. A held key that was not found counts with the time of the
 * search and at least a second, so that it does not look like a fast hit.
 */
function firstMs({ firstMs, totalMs }: Looked): number {
  return firstMs ?? Math.max(totalMs, 1_000);
}

function* absent(name: string): Generator<string> {
  for (let index = 0; ; index += 1) yield benchKey(`absent-${name}`, index);
}

export function* heldKeys(): Generator<string> {
  for (let index = 0; index < HELD; index += 1) yield benchKey('held', index);
}

function take(keys: Iterator<string>, count: number): string[] {
  return Array.from({ length: count }, () => {
    const { value, done } = keys.next();
    if (done === true) throw new Error('no key left');
    return value;
  });
}
