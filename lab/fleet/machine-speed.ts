/** How much work this machine does now: a lab on fewer cores than it needs measures the cores. */
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

/** Rounds of the loop below that one core does in a second where the tests' aims were set. */
const ROUNDS_OF_A_CORE = 6_000;
const MEASURED_MS = 1_000;

/** Counts rounds of plain integer work into shared memory, without end. */
const LOOP = `
  const { workerData } = require('node:worker_threads');
  for (let x = 1; ; Atomics.add(workerData, 0, 1)) {
    for (let i = 0; i < 1e5; i += 1) { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; }
  }`;

/** In cores of the machine on which the aims were set. Takes a second, and all cores. */
export async function coresNow(): Promise<number> {
  const rounds = new Int32Array(new SharedArrayBuffer(4));
  const workers = Array.from(
    { length: availableParallelism() },
    () => new Worker(LOOP, { eval: true, workerData: rounds }),
  );
  try {
    await sleep(200); // they start
    const before = Atomics.load(rounds, 0);
    const started = performance.now();
    await sleep(MEASURED_MS);
    const seconds = (performance.now() - started) / 1_000;
    return (Atomics.load(rounds, 0) - before) / seconds / ROUNDS_OF_A_CORE;
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}
