import { readFileSync } from 'node:fs';

export interface Row {
  readonly what: string;
  readonly ours: string;
  readonly baseline: string;
  readonly ratio: string;
}

/** Prints GitHub's kind of table. */
export function printTable(rows: readonly Row[]): void {
  process.stdout.write('| what | Spegel | compared with | ratio |\n|---|---|---|---|\n');
  for (const { what, ours, baseline, ratio } of rows) {
    process.stdout.write(`| ${what} | ${ours} | ${baseline} | ${ratio} |\n`);
  }
}

/** A row that could not be measured stays in the table, with the reason. */
export function missing(what: string, reason: string): Row {
  return { what, ours: 'not measured', baseline: reason, ratio: '' };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function percentile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
}

/**
 * CPU seconds that a process and its threads have used, from /proc/<pid>/stat (clock ticks of 10
 * ms).
 */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/**
 * Resident memory of a process in MB: all of it, and what is its own. The rest are pages of the
 * executable in the page cache; how many of them count depends on how the kernel happened to read
 * the file.
 */
export function residentMb(pid: number): { readonly all: number; readonly own: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mb = (field: string) =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1000;
  return { all: mb('VmRSS'), own: mb('RssAnon') };
}

/** Runs both ways in turn, `rounds` times each, and gives their medians in milliseconds. */
export async function alternate(
  rounds: number,
  ours: (round: number) => Promise<void>,
  baseline: (round: number) => Promise<void>,
): Promise<{ ours: number; baseline: number }> {
  const times = { ours: [] as number[], baseline: [] as number[] };
  const timed = async (run: () => Promise<void>) => {
    const started = performance.now();
    await run();
    return performance.now() - started;
  };
  for (let round = 0; round < rounds; round += 1) {
    times.ours.push(await timed(() => ours(round)));
    times.baseline.push(await timed(() => baseline(round)));
  }
  return { ours: median(times.ours), baseline: median(times.baseline) };
}
