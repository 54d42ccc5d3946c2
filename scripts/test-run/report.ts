import type { FileResult } from './run-file.ts';

/** How many files the list of the slowest names. */
const SLOWEST = 12;

const say = (text: string) => process.stdout.write(text);
const list = (names: readonly string[]) => names.map((name) => `  - ${name}\n`).join('');

/** All of a file's output, or when `isTerse` only that of a file with a failure. */
export function reportFile(result: FileResult, isTerse: boolean): void {
  const { file, seconds, passed, failed, skipped, output } = result;
  const mark = failed.length > 0 ? '✖' : '✔';
  const skips = [...skipped.values()].flat().length;
  const counts = `${passed} passed${skips > 0 ? `, ${skips} skipped` : ''}`;
  if (!isTerse || failed.length > 0) say(`\n${output}`);
  say(`${mark} ${file}: ${counts}, ${seconds.toFixed(1)} s\n`);
}

/** Files that run again, with what failed in them. */
export function reportSecondRuns(failed: readonly FileResult[]): void {
  for (const { file, failed: names } of failed) {
    say(`\n${file} runs once more, alone, since these failed:\n${list(names)}`);
  }
}

/** What failed at first and passed in the second run: a sign of a deadline that is too short. */
export function reportPassedLater({ file, failed }: FileResult): void {
  say(`passed in the second run, ${file}:\n${list(failed)}`);
}

/**
 * The slowest files, the failed and the skipped tests by name, and as the last line
 * `N passed, N failed, N skipped`. Returns whether the run is good: no failure, and some test ran.
 */
export function reportRun(results: readonly FileResult[]): boolean {
  const slowest = results.toSorted((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
  say('the slowest files:\n');
  for (const { file, seconds } of slowest) say(`  ${seconds.toFixed(1).padStart(6)} s ${file}\n`);
  const skipped = new Map<string, string[]>();
  for (const [reason, names] of results.flatMap((result) => [...result.skipped])) {
    skipped.set(reason, [...(skipped.get(reason) ?? []), ...names]);
  }
  for (const [reason, names] of skipped) say(`skipped, ${reason}:\n${list(names)}`);
  for (const { file, failed } of results) {
    if (failed.length > 0) say(`failed, ${file}:\n${list(failed)}`);
  }
  const passed = results.reduce((sum, result) => sum + result.passed, 0);
  const failed = results.reduce((sum, result) => sum + result.failed.length, 0);
  say(`${passed} passed, ${failed} failed, ${[...skipped.values()].flat().length} skipped\n`);
  return failed === 0 && passed > 0;
}

/** Files that `make check` leaves out, by what they need. */
export function reportLeftOut(files: ReadonlyMap<string, readonly string[]>): void {
  for (const [need, names] of files) {
    say(`left out, ${need} (make test runs them):\n${list(names)}`);
  }
}
