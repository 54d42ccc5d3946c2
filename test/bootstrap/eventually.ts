import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until `condition` holds; fails with `what` when it does not within `ms`. */
export async function eventually(
  what: string,
  condition: () => Promise<boolean> | boolean,
  ms = 8_000,
): Promise<void> {
  const end = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(20);
  }
}
