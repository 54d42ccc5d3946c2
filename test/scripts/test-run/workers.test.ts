import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runQueues } from '../../../scripts/test-run/workers.ts';

/** Runs jobs named by their queue; returns which ran, and the most of a queue at one time. */
async function played(shape: (queue: (name: string, jobs: number) => string[]) => string[][][]) {
  const most = new Map<string, number>();
  const running = new Map<string, number>();
  const ran: string[] = [];
  const workers = shape((name, jobs) => Array.from({ length: jobs }, () => name));
  await runQueues(workers, async (name) => {
    const now = (running.get(name) ?? 0) + 1;
    running.set(name, now);
    most.set(name, Math.max(now, most.get(name) ?? 0));
    await sleep(1);
    running.set(name, (running.get(name) ?? 0) - 1);
    ran.push(name);
  });
  return { ran: ran.toSorted(), most: Object.fromEntries(most) };
}

test('every job runs once, and a worker without work of its own helps', async () => {
  const { ran, most } = await played((queue) => {
    const [own, other] = [queue('own', 1), queue('other', 6)];
    return [[own, other], [other]];
  });
  assert.deepEqual(ran, ['other', 'other', 'other', 'other', 'other', 'other', 'own']);
  assert.equal(most.other, 2);
});

test('a queue of two workers has at most two jobs at a time, however many workers there are', async () => {
  const { most } = await played((queue) => {
    const [heavy, light] = [queue('heavy', 9), queue('light', 3)];
    return [[heavy, light], [heavy, light], [light], [light]];
  });
  assert.equal(most.heavy, 2);
});

test('the first of a queue starts first', async () => {
  const started: number[] = [];
  const queue = [3, 2, 1];
  await runQueues([[queue]], (job) => Promise.resolve(void started.push(job)));
  assert.deepEqual(started, [3, 2, 1]);
});
