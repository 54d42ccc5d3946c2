/** Runs fuzzers: seeded, shrinking, for a time. */
import assert from 'node:assert/strict';
import { relative } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { EFFORT } from '../support/effort.ts';

/** One parser, what it is given, and the property that has to hold for all of it. */
export interface Fuzzer {
  /** The parser, and the property in words. */
  readonly name: string;
  readonly property: fc.IAsyncProperty<[unknown]>;
}

/**
 * Inputs of one round of fast-check, which begins with small ones; each round has the next seed.
 */
const ROUND = 25;
/**
 * All fuzzers of a file share it in `make test`: two dozen files of them would need minutes of CPU.
 */
const FILE_SECONDS = 10;
/**
 * Of each fuzzer, in `make test`, so that a fast machine does not meet what a slow one has never
 * seen; `make check` has fewer.
 */
const MAX_INPUTS = Math.ceil(2_000 * EFFORT);
/**
 * The same inputs every time: a pull request does not fail by an old bug that was met by chance.
 */
const SEED = 17;
/** A failure is shrunk no longer than this; the smallest one by then is told. */
const SHRINK_MS = 10_000;
/** Nothing here is larger than 64 KiB: what takes so long grows with the square of it, or worse. */
const MAX_CPU_MS = 1_000;
/** Of the whole process, fast-check and all; one that only starts has 100 MiB. */
const MAX_RSS_BYTES = 1024 * 1024 * 1024;

const seconds = Number(process.env.FUZZ_SECONDS ?? 0);
const path = process.env.FUZZ_PATH;

/** A promise that is rejected and that nobody waits for; a listener that throws. */
const unheard: unknown[] = [];
process.on('unhandledRejection', (reason) => unheard.push(reason));
process.on('uncaughtExceptionMonitor', (error) => unheard.push(error));

/**
 * A fuzzer that calls `check` with each input. It throws or rejects where the property does not
 * hold. That a call takes no second of this thread's CPU, and that nothing is thrown elsewhere, is
 * a property of all.
 */
export function fuzzer<T>(
  name: string,
  input: fc.Arbitrary<T>,
  check: (input: T) => void | Promise<void>,
): Fuzzer {
  const property = fc.asyncProperty(input, async (value) => {
    const before = process.threadCpuUsage();
    const checked = check(value);
    if (checked !== undefined) await checked;
    const { user, system } = process.threadCpuUsage(before);
    const ms = (user + system) / 1_000;
    assert.ok(ms < MAX_CPU_MS, `expected less than ${MAX_CPU_MS} ms of CPU, got ${ms} ms`);
    assert.deepEqual(unheard.splice(0), [], 'something was thrown where nobody hears it');
  });
  return { name, property: property as fc.IAsyncProperty<[unknown]> };
}

/** Makes a test of each of the fuzzers of a file. */
export function fuzz(file: string, fuzzers: readonly Fuzzer[]): void {
  const ms = (seconds > 0 ? seconds : FILE_SECONDS / fuzzers.length) * 1_000;
  for (const { name, property } of fuzzers) {
    test(name, async (t) => {
      const first = firstSeed();
      const end = performance.now() + ms;
      let runs = 0;
      for (let seed = first; ; seed = (seed + 1) | 0) {
        const asked = { seed, numRuns: ROUND, ...(path === undefined ? {} : { path }) };
        const limits = { interruptAfterTimeLimit: SHRINK_MS, endOnFailure: false };
        const result = await fc.check(property, { ...asked, ...limits });
        runs += result.numRuns;
        if (result.failed) assert.fail(failure(relative('.', file), name, result));
        const isEnough = seconds === 0 && runs >= MAX_INPUTS;
        if (performance.now() > end || isEnough || path !== undefined) break;
      }
      const rss = process.memoryUsage.rss();
      assert.ok(rss < MAX_RSS_BYTES, `expected less than ${MAX_RSS_BYTES} bytes, got ${rss}`);
      t.diagnostic(`${runs} inputs from seed ${first} on`);
    });
  }
}

/** FUZZ_SEED: a number, or `random`. */
function firstSeed(): number {
  const given = process.env.FUZZ_SEED ?? SEED;
  return given === 'random' ? Math.floor(Math.random() * 0x7fffffff) : Number(given) | 0;
}

function failure(file: string, name: string, result: fc.RunDetails<[unknown]>): string {
  const { seed, counterexamplePath, errorInstance } = result;
  const error = errorInstance instanceof Error ? errorInstance.stack : String(errorInstance);
  const shown = fc.stringify(result.counterexample).slice(0, 4_000);
  const pattern = name.replaceAll(/[^\w ]/g, '.');
  return [
    error,
    `with the input ${shown}`,
    `again: FUZZ_SEED=${seed} FUZZ_PATH=${counterexamplePath} ${process.argv0} --test-name-pattern='${pattern}' ${file}`,
  ].join('\n');
}
