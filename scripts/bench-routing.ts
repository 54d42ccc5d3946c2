import { RECORD_VALIDITY_MS, REFRESH_AFTER } from '../lib/routing/dht/constants.ts';
import { median, percentile, printTable, type Row } from './bench/table.ts';
import type { LookupTimes } from './routing-bench/lookups.ts';
import { KEYS } from './routing-bench/measure.ts';
import { BUSY_TTL_MS } from './routing-bench/network.ts';
import { type Measured, measureNetwork, recordBytes } from './routing-bench/run.ts';
import { measureStar, type Star } from './routing-bench/star.ts';

const SIZES = [10, 50];
/** Keys provided by the library, by size of the network: it takes a second for ten keys. */
const LIBRARY_KEYS: Readonly<Record<number, number>> = { 10: 200, 50: 100, 200: 60 };
const DEFAULT_LIBRARY_KEYS = 60;
const CONNECTIONS = [10, 200];
const HOUR_MS = 3_600_000;
/** Time from one refresh of a key to the next, with the default validity. */
const REFRESH_INTERVAL_MS = REFRESH_AFTER * RECORD_VALIDITY_MS;

const AIM = { sender: 50, receiver: 5, firstP99: 20, missP50: 20, missP99: 200, freshP50: 100 };

/**
 * Returns rows on advertising and lookups in networks of nodes on this machine. Takes four minutes,
 * and ten with 200 nodes, which need half of that to join.
 */
export async function benchRouting(sizes: readonly number[] = SIZES): Promise<Row[]> {
  const rows: Row[] = [];
  const say = (what: string) => process.stderr.write(`${what}\n`);
  for (const size of sizes) {
    const keys = LIBRARY_KEYS[size] ?? DEFAULT_LIBRARY_KEYS;
    const measured = await measureNetwork(size, keys, say);

    rows.push(...rowsOf(measured));
  }
  return [...rows, await recordRow(), await connectionRow()];
}

function rowsOf(measured: Measured): Row[] {
  const { lookups } = measured;
  const name = `${measured.size} nodes`;
  return [
    ...advertiseRows(measured),
    hourRow(measured),
    freshRow(measured),
    lookupRow(`${name}, first lookup of each node`, lookups.cold),
    lookupRow(`${name}, warm`, lookups.warm),
    lookupRow(`${name}, right after a tenth was killed`, lookups.killed),
    lookupRow(`${name}, those are out of the table`, lookups.settled),
    lookupRow(`${name}, right after a tenth was frozen`, lookups.frozen),
    idleRow(measured),
  ];
}

function advertiseRows({ size, advertise, library }: Measured): Row[] {
  const { keys, senderCpu, receiverCpu, messages, batches, bytesSent, seconds } = advertise;
  const what = `${size} nodes: advertise ${KEYS} keys`;
  const per = (cpu: number, of: number) => `${((cpu / of) * 1000).toFixed(3)} CPU-ms per key`;
  const theirs = (cpu: number) =>
    library === undefined ? '' : `provide(): ${per(cpu, library.keys)} (${library.keys} keys)`;
  const ratio = (ours: number, cpu: number | undefined, aim: number) => {
    if (cpu === undefined || library === undefined) return '';
    const less = cpu / library.keys / (ours / keys);
    return `${less.toFixed(1)} x less (aim: ${aim})`;
  };
  return [
    {
      what: `${what}, at the sender; the last has them after ${seconds.toFixed(2)} s`,
      ours: `${senderCpu.toFixed(2)} CPU-s: ${per(senderCpu, keys)}`,
      baseline: theirs(library?.senderCpu ?? 0),
      ratio: ratio(senderCpu, library?.senderCpu, AIM.sender),
    },
    {
      what: `${what}, at one receiver`,
      ours: `${receiverCpu.toFixed(2)} CPU-s: ${per(receiverCpu, keys)}`,
      baseline: theirs(library?.receiverCpu ?? 0),
      ratio: ratio(receiverCpu, library?.receiverCpu, AIM.receiver),
    },
    {
      what: `${what}: what is sent`,
      ours: `${messages} records in ${batches} batches, ${megabytes(bytesSent)}`,
      baseline:
        library === undefined
          ? ''
          : `provide(), as many keys: ${Math.round((library.messages / library.keys) * keys)} messages, ${megabytes((library.bytesSent / library.keys) * keys)}`,
      ratio:
        library === undefined
          ? ''
          : `${(library.bytesSent / library.keys / (bytesSent / keys)).toFixed(1)} x fewer bytes`,
    },
  ];
}

function hourRow({ size, refresh, idle }: Measured): Row {
  const rounds = HOUR_MS / REFRESH_INTERVAL_MS;
  const { senderCpu, receiverCpu, messages, batches, bytesSent, watched } = refresh;
  const idleHour = (idle.sender * HOUR_MS) / 1000;
  return {
    what: `${size} nodes: keep ${KEYS} keys advertised for an hour (${(100 * watched).toFixed(0)} % of a round watched, ${rounds.toFixed(1)} rounds an hour)`,
    ours: `${(senderCpu * rounds).toFixed(1)} CPU-s, each receiver ${(receiverCpu * rounds).toFixed(1)}; ${Math.round(messages * rounds)} records in ${Math.round(batches * rounds)} batches, ${megabytes(bytesSent * rounds)}`,
    baseline: `the same node without keys: ${idleHour.toFixed(0)} CPU-s`,
    ratio: `+${((100 * senderCpu * rounds) / idleHour).toFixed(0)} %`,
  };
}

function freshRow({ size, fresh }: Measured): Row {
  const p50 = median(fresh);
  return {
    what: `${size} nodes: a fresh key, from advertise() to found on another node, while its host refreshes ${KEYS} keys ${RECORD_VALIDITY_MS / BUSY_TTL_MS} times as often as by default`,
    ours: `p50 ${p50.toFixed(0)} ms, p99 ${percentile(fresh, 0.99).toFixed(0)} ms`,
    baseline: `aim: p50 ${AIM.freshP50} ms`,
    ratio: met(p50 < AIM.freshP50),
  };
}

function lookupRow(what: string, { first, miss }: LookupTimes): Row {
  const of = (values: readonly number[]) => [median(values), percentile(values, 0.99)] as const;
  const [hit, hit99] = of(first);
  const [none, none99] = of(miss);
  const isMet = hit99 < AIM.firstP99 && none < AIM.missP50 && none99 < AIM.missP99;
  return {
    what: `lookup, ${what} (${first.length} + ${miss.length})`,
    ours: `first provider p50 ${ms(hit)}, p99 ${ms(hit99)}; miss p50 ${ms(none)}, p99 ${ms(none99)}`,
    baseline: `aim: p99 ${AIM.firstP99} ms; p50 ${AIM.missP50}, p99 ${AIM.missP99} ms`,
    ratio: met(isMet),
  };
}

function idleRow({ size, idle, memory, joinCpu, joinMs }: Measured): Row {
  return {
    what: `${size} nodes: idle, each connected with all others`,
    ours: `${((idle.all / size) * 3600).toFixed(0)} CPU-s per node and hour; ${memory.residentMb.toFixed(0)} MB resident, heap ${memory.heapMb.toFixed(0)} MB`,
    baseline: `joining, four at a time: ${joinCpu.toFixed(2)} CPU-s per node, ${(joinMs / 1000).toFixed(0)} s`,
    ratio: '',
  };
}

async function recordRow(): Promise<Row> {
  const [single, many] = [await recordBytes(1), await recordBytes(10)];
  return {
    what: 'memory per 10,000 records held',
    ours: `${megabytes(single * 10_000)} with one provider per key, ${megabytes(many * 10_000)} with ten`,
    baseline: '',
    ratio: '',
  };
}

async function connectionRow(): Promise<Row> {
  const [few, many] = await measureStar(CONNECTIONS);
  if (few === undefined || many === undefined) throw new Error('two sizes are compared');
  const more = many.connections - few.connections;
  const each = (of: (star: Star) => number) => (of(many) - of(few)) / more;
  return {
    what: `a node with ${few.connections} and ${many.connections} connections of peers that say nothing: what each of them costs`,
    ours: `${(1000 * each(({ residentMb }) => residentMb)).toFixed(0)} kB resident, ${(3600 * each(({ idleCpu }) => idleCpu)).toFixed(2)} CPU-s per hour`,
    baseline: `accepting it: ${(1000 * many.acceptCpu).toFixed(1)} CPU-ms`,
    ratio: '',
  };
}

const met = (isMet: boolean) => (isMet ? 'met' : 'not met');
const ms = (value: number) => `${value.toFixed(1)} ms`;
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

if (import.meta.main) {
  const given = process.argv.slice(2).map(Number);
  printTable(await benchRouting(given.length > 0 ? given : SIZES));
}
