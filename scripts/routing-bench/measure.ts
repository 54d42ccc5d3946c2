import { setTimeout as sleep } from 'node:timers/promises';
import { REPLICATION } from '../../lib/routing/constants.ts';
import type { Usage } from './meter.ts';
import { BUSY_TTL_MS, type LibraryNetwork, type Network } from './network.ts';
import { benchKey } from './nodes.ts';

export const KEYS = 5_000;
/** A multiple of the ping interval, so that each burst of pings is inside as a whole. */
const IDLE_MS = 15_000;
/** Three turns of the refresh, see REFRESH_TTL_MS. */
const WATCH_REFRESH_MS = 27_000;
const FRESH_KEYS = 60;
const FRESH_PAUSE_MS = 30;
const FRESH_SETTLE_MS = 3_000;
const POLL_MS = 100;
/** The least CPU in seconds that counts: less is lost in the fluctuations of an idle process. */
const LEAST_CPU = 0.01;
const ARRIVAL_MS = 120_000;

/** CPU seconds per second that a process of one node takes with nothing to do. */
export interface Idle {
  readonly sender: number;
  readonly receiver: number;
  /** All nodes together. Nodes in one process share the cost of its runtime. */
  readonly all: number;
}

/** The cost of announcing keys. CPU is without that of the idle network. */
export interface Cost {
  readonly keys: number;
  readonly senderCpu: number;
  readonly receiverCpu: number;
  readonly messages: number;
  readonly batches: number;
  readonly bytesSent: number;
  readonly seconds: number;
}

export async function measureIdle({ all }: Network): Promise<Idle> {
  const usages = () => Promise.all(all.map((each) => each.call('usage')));
  const before = await usages();
  await sleep(IDLE_MS);
  const rates = (await usages()).map(
    ({ cpuSeconds }, index) => (cpuSeconds - (before[index]?.cpuSeconds ?? 0)) / (IDLE_MS / 1000),
  );
  const [sender = 0, receiver = 0] = rates;
  return { sender, receiver, all: rates.reduce((sum, rate) => sum + rate, 0) };
}

/** Has the sender announce keys, and waits until every receiver has its records. */
export async function measureAdvertise(network: Network, idle: Idle): Promise<Cost> {
  const before = await usages(network);
  const at = await network.sender.call('advertise', 'announced', 0, KEYS);
  const lastAt = await arrived(network, recordsOf(network.size));
  await sleep(POLL_MS);
  return { ...cost(before, await usages(network), idle), seconds: (lastAt - at) / 1000 };
}

/** Waits for the expected number of the sender's records; returns when the last one arrived. */
async function arrived({ all, senderId }: Network, expected: number): Promise<number> {
  const end = performance.now() + ARRIVAL_MS;
  for (;;) {
    const received = await Promise.all(all.map((each) => each.call('receivedFrom', senderId)));
    const records = received.reduce((sum, each) => sum + each.records, 0);
    if (records >= expected) return Math.max(...received.map(({ lastAt }) => lastAt));
    if (performance.now() > end) throw new Error(`${records} of ${expected} records came`);
    await sleep(POLL_MS);
  }
}

/** The cost of a whole round of the sender's refresh, at the sender and at a mean receiver. */
export interface RefreshCost {
  readonly senderCpu: number;
  readonly receiverCpu: number;
  readonly messages: number;
  readonly batches: number;
  readonly bytesSent: number;
  /** The part of the round that was watched. */
  readonly watched: number;
}

/**
 * Watches a part of a round of the sender's refresh. The number of records sent tells how large the
 * part was, and so the cost of the whole round. `startMs`: the time from announcing the keys to the
 * beginning of the round, by which the sender's clock is put forward.
 */
export async function measureRefresh(
  network: Network,
  idle: Idle,
  startMs: number,
): Promise<RefreshCost> {
  const { all, sender, size } = network;
  await sender.call('putClockForward', startMs);
  const usages = () => Promise.all(all.map((each) => each.call('usage')));
  const before = await usages();
  await sleep(WATCH_REFRESH_MS);
  const after = await usages();
  const grown = (index: number, field: keyof Usage) =>
    (after[index]?.[field] ?? 0) - (before[index]?.[field] ?? 0);
  const seconds = WATCH_REFRESH_MS / 1000;
  const cpu = all.reduce((sum, _, index) => sum + grown(index, 'cpuSeconds'), 0);
  const senderCpu = grown(0, 'cpuSeconds') - idle.sender * seconds;
  const receiversCpu = cpu - grown(0, 'cpuSeconds') - (idle.all - idle.sender) * seconds;
  const watched = grown(0, 'recordsSent') / recordsOf(size);
  if (!(watched > 0)) throw new Error('the refresh was not seen');
  return {
    senderCpu: Math.max(0, senderCpu) / watched,
    // The idle network fluctuates: a difference below zero counts as zero.
    receiverCpu: Math.max(0, receiversCpu) / (size - 1) / watched,
    messages: recordsOf(size),
    batches: grown(0, 'batchesSent') / watched,
    bytesSent: grown(0, 'bytesSent') / watched,
    watched,
  };
}

function recordsOf(size: number): number {
  return KEYS * Math.min(REPLICATION, size - 1);
}

/**
 * Milliseconds from announcing a key until a node that keeps looking it up finds it. The receiver
 * announces. Meanwhile it refreshes as many keys as the sender has, peer by peer. Its records are
 * short-lived: in a small network a peer is due every two seconds, in a large one several in each
 * second.
 */
export async function measureFresh({ sender, receiver }: Network): Promise<number[]> {
  await receiver.call('advertise', 'refreshed', 0, KEYS);
  await receiver.call('putClockForward', BUSY_TTL_MS);
  await sleep(FRESH_SETTLE_MS);
  const times: number[] = [];
  for (let index = 0; index < FRESH_KEYS; index += 1) {
    const found = sender.call('watch', benchKey('fresh', index));
    await sleep(FRESH_PAUSE_MS * (1 + Math.random()));
    const at = await receiver.call('advertise', 'fresh', index, 1);
    times.push((await found) - at);
  }
  return times;
}

export interface LibraryCost {
  readonly keys: number;
  readonly senderCpu: number;
  readonly receiverCpu: number;
  readonly messages: number;
  readonly bytesSent: number;
  readonly seconds: number;
}

/** The library's own way: `provide` for each key. */
export async function measureLibrary(network: LibraryNetwork, keys: number): Promise<LibraryCost> {
  await sleep(2_000);
  const idleFrom = await usages(network);
  await sleep(IDLE_MS / 2);
  const before = await usages(network);
  const idle = (end: 'sender' | 'receiver') =>
    (before[end].cpuSeconds - idleFrom[end].cpuSeconds) / (before.at - idleFrom.at);
  const { seconds, messages } = await network.sender.call('provide', 'provided', keys);
  const after = await usages(network);
  const spent = cost(before, after, {
    sender: idle('sender'),
    receiver: idle('receiver'),
    all: 0,
  });
  return { ...spent, keys, messages, seconds };
}

interface Both {
  readonly at: number;
  readonly sender: Usage;
  readonly receiver: Usage;
}

/** A process with nodes of either kind. */
interface Metered {
  call(method: 'usage'): Promise<Usage>;
}

async function usages({ sender, receiver }: Record<'sender' | 'receiver', Metered>): Promise<Both> {
  const [ofSender, ofReceiver] = await Promise.all([sender.call('usage'), receiver.call('usage')]);
  return { at: performance.now() / 1000, sender: ofSender, receiver: ofReceiver };
}

function cost(before: Both, after: Both, idle: Idle): Cost {
  const seconds = after.at - before.at;
  const cpu = (end: 'sender' | 'receiver') =>
    Math.max(LEAST_CPU, after[end].cpuSeconds - before[end].cpuSeconds - idle[end] * seconds);
  return {
    keys: KEYS,
    senderCpu: cpu('sender'),
    receiverCpu: cpu('receiver'),
    messages: after.sender.recordsSent - before.sender.recordsSent,
    batches: after.sender.batchesSent - before.sender.batchesSent,
    bytesSent: after.sender.bytesSent - before.sender.bytesSent,
    seconds,
  };
}
