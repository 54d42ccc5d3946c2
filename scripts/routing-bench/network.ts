import { setTimeout as sleep } from 'node:timers/promises';
import type { LibraryNodes } from './library-nodes.ts';
import type { OurNodes } from './nodes.ts';
import { NodesProcess } from './process.ts';

const PORT = 15_001;
/**
 * Each node has a loopback address of its own, so that no free port must be found. Each run of the
 * bench has its own range of them.
 */
const NETWORK = `127.${64 + (process.pid % 128)}`;
const endpoint = (index: number) => `${NETWORK}.${index >> 8}.${index & 255}:${PORT}`;
/** Nodes per process of the crowd. They share the code of their libraries and the event loop. */
const NODES_PER_PROCESS = 24;
const DEAD_SHARE = 0.1;
const JOIN_MS = 240_000;
const JOINING_AT_ONCE = 4;
const MEET_MS = 5_000;
/**
 * The share of the other nodes that each node must know. On a busy machine the last of 20,000
 * connections take minutes, because their retries become ever rarer.
 */
const KNOWN_SHARE = 0.97;
const POLL_MS = 50;
/** Peers that a library node gets to know: more than its k, and about as many as by a real join. */
const LIBRARY_PEERS = 40;
/**
 * The share of these peers that must be in its routing table. Some do not get in, because a bucket
 * is full or because a ping fails on a busy machine.
 */
const LIBRARY_TABLE = 0.5;

export interface Roles<Nodes> {
  readonly size: number;
  /** Sender and receiver are alone in their processes, so that their CPU is measured alone. */
  readonly sender: NodesProcess<Nodes>;
  readonly receiver: NodesProcess<Nodes>;
  /** A tenth of the nodes, which will be killed. */
  readonly killed: NodesProcess<Nodes>;
  /** Another tenth, which will be frozen: as after a power cut, connections stay unanswered. */
  readonly frozen: NodesProcess<Nodes>;
  /** The rest. The first process holds the keys that are looked up. */
  readonly holder: NodesProcess<Nodes>;
  readonly others: readonly NodesProcess<Nodes>[];
}

export interface Network extends Roles<OurNodes>, AsyncDisposable {
  readonly all: readonly NodesProcess<OurNodes>[];
  readonly senderId: string;
  /** Milliseconds from the start of the processes until every node knew every other one. */
  readonly joinMs: number;
}

/** Nodes per process: sender, receiver, killed, frozen, crowd. */
function shares(size: number): number[] {
  const dead = Math.max(1, Math.round(size * DEAD_SHARE));
  const rest = size - 2 - 2 * dead;
  const processes = Math.ceil(rest / NODES_PER_PROCESS);
  const crowd = Array.from({ length: processes }, (_, index) =>
    Math.floor((rest + index) / processes),
  );
  return [1, 1, dead, dead, ...crowd];
}

function roles<Nodes>(size: number, all: readonly NodesProcess<Nodes>[]): Roles<Nodes> {
  const [sender, receiver, killed, frozen, holder, ...others] = all;
  if (!sender || !receiver || !killed || !frozen || !holder)
    throw new Error('a network needs five processes');
  return { size, sender, receiver, killed, frozen, holder, others };
}

/** The default of `--advertise-ttl`. */
const ADVERTISE_TTL_MS = 600_000;
/**
 * Validity of the sender's records. Its refresh has a step every nine seconds, within which streams
 * are closed, as within the thirty seconds of the default. A step has as many keys as by default.
 */
export const REFRESH_TTL_MS = 180_000;
/** Validity of the records of the receiver, which announces the fresh keys: a step every second. */
export const BUSY_TTL_MS = 20_000;
const TTLS = [REFRESH_TTL_MS, BUSY_TTL_MS];

/** Starts `size` routers and waits until each knows nearly all others. */
export async function startNetwork(size: number): Promise<Network> {
  const started = performance.now();
  const all = shares(size).map(() => new NodesProcess<OurNodes>('ours'));
  const dispose = async () => void (await Promise.all(all.map((each) => each.kill())));
  try {
    const ids = await join(all, size);
    const joinMs = performance.now() - started;
    const [senderId = ''] = ids;
    return { ...roles(size, all), all, senderId, joinMs, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/**
 * Starts the nodes, a few at a time, and returns their ids. If all started at once, half of the
 * connections would be made twice, which takes minutes for 200 nodes on two cores.
 */
async function join(all: readonly NodesProcess<OurNodes>[], size: number): Promise<string[]> {
  const places = shares(size).flatMap((count, index) => new Array<number>(count).fill(index));
  const ids: string[] = [];
  const next = places.entries();
  let joined = 0;
  const worker = async () => {
    for (const [index, place] of next) {
      const host = all[place];
      if (host === undefined) return;
      const advertiseTtlMs = TTLS[place] ?? ADVERTISE_TTL_MS;
      const peers = [endpoint(0), endpoint(1)];
      ids[index] = await host.call('start', { endpoint: endpoint(index), peers, advertiseTtlMs });
      await meets(host, joined - JOINING_AT_ONCE);
      joined += 1;
    }
  };
  await Promise.all(Array.from({ length: JOINING_AT_ONCE }, worker));
  await until(async () => {
    const counts = await Promise.all(all.map((each) => each.call('peers')));
    return counts.flat().every((count) => count >= KNOWN_SHARE * (size - 1));
  }, `${size} nodes to know each other`);
  return ids;
}

/** Waits until the newest node of a process knows `count` peers, at most a few seconds. */
async function meets(host: NodesProcess<OurNodes>, count: number): Promise<void> {
  const end = performance.now() + MEET_MS;
  while (((await host.call('peers')).at(-1) ?? 0) < count && performance.now() < end) {
    await sleep(POLL_MS);
  }
}

export interface LibraryNetwork extends Roles<LibraryNodes>, AsyncDisposable {}

/** Starts `size` nodes of the library. Each gets to know 40 others, or all if there are fewer. */
export async function startLibraryNetwork(size: number): Promise<LibraryNetwork> {
  const all = shares(size).map(() => new NodesProcess<LibraryNodes>('library'));
  const dispose = async () => void (await Promise.all(all.map((each) => each.kill())));
  try {
    const counts = shares(size);
    const addresses = await Promise.all(
      all.map((each, index) => each.call('start', counts[index] ?? 0)),
    );
    const flat = addresses.flat();
    let at = 0;
    const known = Math.min(LIBRARY_PEERS, size - 1);
    await Promise.all(
      all.map((each, index) => {
        const targets = (addresses[index] ?? []).map(() => neighbours(flat, at++, known));
        return each.call('connect', targets);
      }),
    );
    await until(async () => {
      const sizes = await Promise.all(all.map((each) => each.call('peers')));
      return sizes.flat().every((count) => count >= LIBRARY_TABLE * known);
    }, `${size} nodes of the library to fill their tables`);
    return { ...roles(size, all), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Half of the `wanted` addresses: each node is dialled by as many nodes as it dials. */
function neighbours(addresses: readonly string[], from: number, wanted: number): string[] {
  const count = addresses.length;
  const stride = Math.max(1, Math.floor(count / (wanted + 1)));
  return Array.from(
    { length: Math.ceil(wanted / 2) },
    (_, index) => addresses[(from + (index + 1) * stride) % count] ?? '',
  );
}

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + JOIN_MS;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${JOIN_MS} ms for ${what}`);
    await sleep(POLL_MS);
  }
}
