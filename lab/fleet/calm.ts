/**
 * Waits until the machine has time: hosts of a lab that are still starting take it from what is
 * measured.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Of all cores together: what has to be idle, over so long, so often in a row. */
const IDLE = 0.6;
const LOOK_MS = 250;
const LOOKS = 2;
/** A machine that others keep busy is not waited for any longer. */
const TIMEOUT_MS = 20_000;

export async function untilCalm(): Promise<void> {
  const end = performance.now() + TIMEOUT_MS;
  let before = await cpuTimes();
  for (let calm = 0; calm < LOOKS && performance.now() < end; ) {
    await sleep(LOOK_MS);
    const now = await cpuTimes();
    const idle = (now.idle - before.idle) / Math.max(1, now.all - before.all);
    calm = idle >= IDLE ? calm + 1 : 0;
    before = now;
  }
}

/**
 * proc(5), /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal in hundredths of a
 * second.
 */
async function cpuTimes(): Promise<{ idle: number; all: number }> {
  const [line = ''] = (await readFile('/proc/stat', 'utf8')).split('\n');
  const fields = line.split(/\s+/).slice(1, 9).map(Number);
  return {
    idle: (fields[3] ?? 0) + (fields[4] ?? 0),
    all: fields.reduce((sum, field) => sum + field, 0),
  };
}
