/**
 * How long the main thread of this process waits for a disk. Its delay by the clock would tell as
 * much of the load of the machine.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

const LOOK_MS = 2;

/** Milliseconds in which the main thread stood still in the kernel, while `work` ran. */
export async function diskWaitMs(work: () => Promise<unknown>): Promise<number> {
  const worker = new Worker(new URL(import.meta.url));
  const message = () => new Promise<number>((resolve) => worker.once('message', resolve));
  await message();
  await work();
  const waited = message();
  worker.postMessage('stop');
  const ms = await waited;
  await worker.terminate();
  return ms;
}

async function watch(): Promise<void> {
  let isOver = false;
  parentPort?.once('message', () => {
    isOver = true;
  });
  parentPort?.postMessage(0);
  let waitedMs = 0;
  let wasWaiting = false;
  let lookedAt = performance.now();
  while (!isOver) {
    await sleep(LOOK_MS);
    const stat = readFileSync(`/proc/${process.pid}/task/${process.pid}/stat`, 'latin1');
    const isWaiting = stat.slice(stat.lastIndexOf(')') + 2).startsWith('D');
    const now = performance.now();
    // Two looks that find the same: one alone may be any short wait.
    if (isWaiting && wasWaiting) waitedMs += now - lookedAt;
    wasWaiting = isWaiting;
    lookedAt = now;
  }
  parentPort?.postMessage(waitedMs);
}

if (!isMainThread) await watch();
