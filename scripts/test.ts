import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

/**
 * Runs all tests, or those in the files named as arguments, prints what was skipped and why by
 * name, and ends with the line `N passed, N failed, N skipped`. Exit code 1 when one failed or none
 * ran.
 *
 * A file with a failed test runs once more at the end, alone: on a noisy machine a deadline is
 * missed that holds otherwise. Only the second run of such a file counts, and both are printed.
 */
const root = join(import.meta.dirname, '..');
const named = process.argv.slice(2);
const files = named.length > 0 ? named : globSync('test/**/*.test.ts', { cwd: root }).sort();

/** A test file that hangs must not take the whole run with it. */
const FILE_TIMEOUT_MS = 10 * 60_000;

/** More files than this with a failure are no noise: they do not run again. */
const SECOND_RUNS = 12;

/** Files whose tests hold no deadline that a busy machine misses: as many at a time as there are cores. */
const AT_ONCE =
  /^test\/(?:attacks|base|cmd|docs|fuzz|hosts|oci|port|store|install|systemd|metrics|advertise|release|upstream)\//;

/** Files in which eight hosts share the two cores: last, and alone. */
const ALONE = /^test\/e2e\/(?:inflight|rolling\.)/;

/**
 * The other files run in lanes, one file at a time in each, since they measure real daemons on as
 * few as two cores: those of a whole machine in two of them, the others of a lab, and those of one
 * process. They wait most of the time.
 */
const LANES: readonly RegExp[] = [
  /^test\/e2e\/(?:configuration|dead-route|foreign-port|install|proxy-look)/,
  /^test\/e2e\/(?:cloned|port|removal|rolling|settings|systemd|unit)/,
  /^test\/(?:e2e|lab)\//,
  /^/,
];

/** How many files the list of the slowest names. */
const SLOWEST = 12;

interface FileResult {
  seconds: number;
  passed: number;
  failed: string[];
  /** Names of skipped tests, by the reason. */
  skipped: Map<string, string[]>;
}

/** By the path of the file: the result of its last run. */
const results = new Map<string, FileResult>();

const atOnce = files.filter((file) => AT_ONCE.test(file));
await runFiles(atOnce, availableParallelism());
const alone = files.filter((file) => ALONE.test(file));
const inLanes = files.filter((file) => !atOnce.includes(file) && !alone.includes(file));
const laneOf = (file: string) => LANES.findIndex((lane) => lane.test(file));
await Promise.all(
  LANES.map((_, lane) =>
    runFiles(
      inLanes.filter((file) => laneOf(file) === lane),
      1,
    ),
  ),
);
await runFiles(alone, 1);
await runFailedAgain();
report();

async function runFailedAgain(): Promise<void> {
  const failed = [...results].filter(
    ([file, result]) => result.failed.length > 0 && files.includes(file),
  );
  if (failed.length === 0 || failed.length > SECOND_RUNS) return;
  for (const [file, result] of failed) {
    process.stdout.write(`\n${file} runs once more, alone, since these failed:\n`);
    for (const name of result.failed) process.stdout.write(`  - ${name}\n`);
  }
  await runFiles(
    failed.map(([file]) => file),
    1,
  );
  for (const [file, first] of failed) {
    if (results.get(file)?.failed.length !== 0) continue;
    process.stdout.write(`passed in the second run, ${file}:\n`);
    for (const name of first.failed) process.stdout.write(`  - ${name}\n`);
  }
}

async function runFiles(paths: readonly string[], concurrency: number): Promise<void> {
  // Without a file, node:test would look for tests itself.
  if (paths.length === 0) return;
  for (const path of paths) {
    results.set(path, { seconds: 0, passed: 0, failed: [], skipped: new Map() });
  }
  const stream = run({
    files: paths.map((file) => join(root, file)),
    concurrency,
    timeout: FILE_TIMEOUT_MS,
    isolation: 'process',
  });
  stream.on('test:pass', (test) => {
    if (test.details.type === 'suite') return;
    const result = resultOf(test.file);
    if (test.skip === undefined || test.skip === false) result.passed += 1;
    else {
      const reason = test.skip === true ? 'no reason given' : test.skip;
      result.skipped.set(reason, [...(result.skipped.get(reason) ?? []), test.name]);
    }
  });
  stream.on('test:fail', (test) => {
    if (test.details.type !== 'suite') resultOf(test.file).failed.push(test.name);
  });
  stream.on('test:summary', (summary) => {
    if (summary.file !== undefined) resultOf(summary.file).seconds = summary.duration_ms / 1000;
  });

  for await (const chunk of stream.compose(new spec())) process.stdout.write(chunk);
}

function resultOf(file: string | undefined): FileResult {
  const path = file === undefined ? '' : relative(root, file);
  const result = results.get(path) ?? { seconds: 0, passed: 0, failed: [], skipped: new Map() };
  results.set(path, result);
  return result;
}

function report(): void {
  const slowest = [...results].sort(([, a], [, b]) => b.seconds - a.seconds).slice(0, SLOWEST);
  process.stdout.write('the slowest files:\n');
  for (const [file, { seconds }] of slowest) {
    process.stdout.write(`  ${seconds.toFixed(1).padStart(6)} s ${file}\n`);
  }
  const skipped = new Map<string, string[]>();
  for (const [reason, names] of [...results.values()].flatMap((result) => [...result.skipped])) {
    skipped.set(reason, [...(skipped.get(reason) ?? []), ...names]);
  }
  for (const [reason, names] of skipped) {
    process.stdout.write(`skipped, ${reason}:\n${names.map((name) => `  - ${name}\n`).join('')}`);
  }
  const all = [...results.values()];
  const passed = all.reduce((sum, result) => sum + result.passed, 0);
  const failed = all.reduce((sum, result) => sum + result.failed.length, 0);
  const skips = [...skipped.values()].flat().length;
  process.stdout.write(`${passed} passed, ${failed} failed, ${skips} skipped\n`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}
