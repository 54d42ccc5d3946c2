/**
 * Computes what a fleet costs each of its hosts: `node scripts/simulate-routing.ts [hosts …]`. It
 * multiplies the measured costs of scripts/routing-bench/costs.ts.
 */
import { REPLICATION } from '../lib/routing/constants.ts';
import { RECORD_VALIDITY_MS, REFRESH_AFTER } from '../lib/routing/dht/constants.ts';
import { MEASURED, PINGED } from './routing-bench/costs.ts';
import { type Costs, type HostLoad, hostLoad, type Plan } from './routing-bench/count.ts';

const SIZES = [10, 50, 200, 500, 1_000, 2_000, 5_000];

/** The router's own plan: each receiver gets all of its keys in one turn per round. */
const BY_RECEIVER: Plan = {
  keysPerHost: 5_000,
  replication: REPLICATION,
  refreshSeconds: (REFRESH_AFTER * RECORD_VALIDITY_MS) / 1000,
  turns: 1,
};
/** For comparison: fourteen turns per round, and each turn sends some keys to every receiver. */
const BY_KEY: Plan = { ...BY_RECEIVER, turns: 14 };

const COLUMNS: readonly (readonly [string, (load: HostLoad) => string])[] = [
  ['hosts', ({ hosts }) => whole(hosts)],
  ['connections', ({ connections }) => whole(connections)],
  ['memory, MB', ({ memoryMb }) => whole(memoryMb)],
  ['of it connections', ({ connectionsMb }) => whole(connectionsMb)],
  ['of it records', ({ recordsMb }) => whole(recordsMb)],
  ['idle, % of a core', ({ idleCpu }) => percent(idleCpu)],
  ['records held', ({ recordsHeld }) => whole(recordsHeld)],
  ['refresh: records/s', ({ recordsPerSecond }) => whole(recordsPerSecond)],
  ['streams opened/s', ({ opensPerSecond }) => opensPerSecond.toFixed(1)],
  ['records on each', ({ recordsPerOpen }) => recordsPerOpen.toFixed(1)],
  ['kB/s', ({ refreshBytes }) => whole(refreshBytes / 1000)],
  ['refresh, % of a core', ({ refreshCpu }) => percent(refreshCpu)],
  ['start: CPU-s', ({ startCpu }) => startCpu.toFixed(1)],
  ['lookup: scans, ms', ({ lookupScanCpu }) => (1000 * lookupScanCpu).toFixed(2)],
];

const given = process.argv.slice(2).map(Number);
const sizes = given.length > 0 ? given : SIZES;
print('As it is', MEASURED, BY_RECEIVER);
print('With refresh by key', MEASURED, BY_KEY);
print('With a stream for each ping', PINGED, BY_RECEIVER);

function print(title: string, costs: Costs, plan: Plan): void {
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`;
  const lines = sizes.map((hosts) => {
    const load = hostLoad(hosts, costs, plan);
    return row(COLUMNS.map(([, cell]) => cell(load)));
  });
  const head = row(COLUMNS.map(([name]) => name)) + row(COLUMNS.map(() => '--:'));
  process.stdout.write(`${title}\n\n${head}${lines.join('')}\n`);
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function percent(share: number): string {
  return (100 * share).toFixed(1);
}
