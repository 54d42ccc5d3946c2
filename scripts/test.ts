import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { type Need, needOf } from './test-run/needs.ts';
import {
  reportFile,
  reportLeftOut,
  reportPassedLater,
  reportRun,
  reportSecondRuns,
} from './test-run/report.ts';
import { type FileResult, runFile } from './test-run/run-file.ts';
import { longestFirst, recordSeconds } from './test-run/seconds.ts';
import { runQueues } from './test-run/workers.ts';

/**
 * Runs all tests, or those in the files that are named, prints what was skipped and why, and ends
 * with the line `N passed, N failed, N skipped`: `node scripts/test.ts [--check] [--record]
 * [file...]`. Exits with 1 when a test fails or none ran.
 *
 * - `--check`: only the files that need nothing of the machine, with fewer random inputs, and
 *   output only of those that fail.
 * - `--record`: keeps how long each file took, for the order of the next run.
 *
 * A file with a failed test runs once more at the end, alone: on a noisy machine a deadline is
 * missed that holds otherwise. Only the second run of such a file counts, and both are printed.
 */
const root = join(import.meta.dirname, '..');
const words = process.argv.slice(2);
const isCheck = words.includes('--check');
const all = globSync('test/**/*.test.ts', { cwd: root }).sort();
const named = words.filter((word) => !word.startsWith('--'));
const files = named.length > 0 ? named.map((file) => relative(root, resolve(file))) : all;
const needs = new Map(files.map((file) => [file, needOf(root, file)]));

/** More files than this with a failure are no noise: they do not run again. */
const MAX_SECOND_RUNS = 12;

/** Test files at a time for each core in `--check`: most of them wait half of their time. */
const CHECK_FILES_PER_CORE = 3;

/**
 * Each test file is a process of its own: without it, each compiles libp2p and our code anew. Not
 * for files that run the executable, which starts again without the variable.
 */
const COMPILE_CACHE = { NODE_COMPILE_CACHE: join(root, 'node_modules/.compile-cache') };

/** How thorough tests of many inputs are in `--check` (test/support/effort.ts). */
const CHECK_EFFORT = '0.1';

/**
 * Folders of test/ with files that a busy machine makes miss no deadline: as many of them at a time
 * as there are cores. In `--check` all files run so.
 */
const UNTIMED: ReadonlySet<string | undefined> = new Set([
  'advertise',
  'attacks',
  'base',
  'cmd',
  'docs',
  'fuzz',
  'hosts',
  'install',
  'metrics',
  'oci',
  'port',
  'proxy',
  'release',
  'scripts',
  'store',
  'systemd',
  'upstream',
]);
const isUntimed = (file: string) => UNTIMED.has(file.split('/')[1]);

/** Files in which eight hosts share the cores: last, and alone. */
const ALONE = /^test\/e2e\/inflight\//;

const WHY_LEFT_OUT: Readonly<Record<Exclude<Need, 'nothing'>, string>> = {
  booted: 'need root and hosts with a real systemd',
  lab: 'need root and hosts with a real containerd',
  executable: 'need the built executable',
};

/** By the path of the file: the result of its last run. */
const results = new Map<string, FileResult>();

async function run(file: string): Promise<void> {
  const hasCache = needs.get(file) === 'nothing';
  const result = await runFile(root, file, hasCache ? COMPILE_CACHE : {});
  results.set(file, result);
  reportFile(result, isCheck);
}

async function runAtOnce(paths: readonly string[], atOnce: number): Promise<void> {
  const queue = longestFirst(root, paths);
  await runQueues(
    Array.from({ length: atOnce }, () => [queue]),
    run,
  );
}

/**
 * The files with deadlines, beside each other since they wait most of the time: at most two with
 * booted hosts, which share as few as two cores. A worker without work helps with the other queues.
 */
async function runTimed(paths: readonly string[]): Promise<void> {
  const of = (...wanted: Need[]) =>
    longestFirst(
      root,
      paths.filter((file) => wanted.includes(needs.get(file) ?? 'nothing')),
    );
  const [booted, lab, rest] = [of('booted'), of('lab', 'executable'), of('nothing')];
  const workers = [
    [booted, lab, rest],
    [booted, lab, rest],
    [lab, rest],
    [rest, lab],
  ];
  await runQueues(workers, run);
}

async function runFailedAgain(): Promise<void> {
  const failed = [...results.values()].filter((result) => result.failed.length > 0);
  if (failed.length === 0 || failed.length > MAX_SECOND_RUNS) return;
  reportSecondRuns(failed);
  for (const first of failed) {
    await run(first.file);
    if (results.get(first.file)?.failed.length === 0) reportPassedLater(first);
  }
}

async function check(): Promise<void> {
  process.env.TEST_EFFORT ??= CHECK_EFFORT;
  await runAtOnce(
    files.filter((file) => needs.get(file) === 'nothing'),
    CHECK_FILES_PER_CORE * availableParallelism(),
  );
  const leftOut = Map.groupBy(
    files.filter((file) => needs.get(file) !== 'nothing'),
    (file) => WHY_LEFT_OUT[needs.get(file) as keyof typeof WHY_LEFT_OUT],
  );
  reportLeftOut(leftOut);
}

async function runAll(): Promise<void> {
  await runAtOnce(
    files.filter((file) => isUntimed(file)),
    availableParallelism(),
  );
  await runTimed(files.filter((file) => !isUntimed(file) && !ALONE.test(file)));
  await runAtOnce(
    files.filter((file) => ALONE.test(file)),
    1,
  );
}

await (isCheck ? check() : runAll());
await runFailedAgain();
if (words.includes('--record')) recordSeconds(root, [...results.values()], all);
process.exitCode = reportRun([...results.values()]) ? 0 : 1;
