import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

/**
 * Runs all tests, or those in the files named as arguments, prints what was skipped and why by name, and
 * ends with the line `N passed, N failed, N skipped`. Exit code 1 when one failed or none ran.
 */
const root = join(import.meta.dirname, '..');
const named = process.argv.slice(2);
const files = named.length > 0 ? named : globSync('test/**/*.test.ts', { cwd: root }).sort();

/** A test file that hangs must not take the whole run with it. */
const FILE_TIMEOUT_MS = 10 * 60_000;

/** Files whose tests hold no deadline that a busy machine misses: as many at a time as there are cores. */
const AT_ONCE =
  /^test\/(?:attacks|base|cmd|docs|hosts|oci|port|store|install|systemd|metrics|advertise|release|upstream)\//;

/** Files in which eight hosts share the two cores: last, and alone. */
const ALONE = /^test\/e2e\/(?:herd|rolling\.)/;

/**
 * The other files run in lanes, one file at a time in each, since they measure real daemons on as
 * few as two cores: those of a whole machine with some of a lab of hosts, the others of a lab, and
 * those of one process. They wait most of the time.
 */
const LANES: readonly RegExp[] = [
  /^test\/e2e\/(?:configuration|dead-route|foreign-port|install|port|proxy-look|rolling|systemd|unit)/,
  /^test\/e2e\//,
  /^/,
];

const count = { passed: 0, failed: 0 };
/** Names of skipped tests, by the reason. */
const skipped = new Map<string, string[]>();

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

async function runFiles(paths: readonly string[], concurrency: number): Promise<void> {
  // Without a file, node:test would look for tests itself.
  if (paths.length === 0) return;
  const stream = run({
    files: paths.map((file) => join(root, file)),
    concurrency,
    timeout: FILE_TIMEOUT_MS,
    isolation: 'process',
  });
  stream.on('test:pass', (test) => {
    if (test.details.type === 'suite') return;
    if (test.skip === undefined || test.skip === false) count.passed += 1;
    else {
      const reason = test.skip === true ? 'no reason given' : test.skip;
      skipped.set(reason, [...(skipped.get(reason) ?? []), test.name]);
    }
  });
  stream.on('test:fail', (test) => {
    if (test.details.type !== 'suite') count.failed += 1;
  });

  for await (const chunk of stream.compose(new spec())) process.stdout.write(chunk);
}

for (const [reason, names] of skipped) {
  process.stdout.write(`skipped, ${reason}:\n${names.map((name) => `  - ${name}\n`).join('')}`);
}
const skips = [...skipped.values()].flat().length;
process.stdout.write(`${count.passed} passed, ${count.failed} failed, ${skips} skipped\n`);
process.exitCode = count.failed > 0 || count.passed === 0 ? 1 : 0;
