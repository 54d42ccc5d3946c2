import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import { type Task, TaskQueue } from '../../lib/containerd/task-queue.ts';

const signal = new AbortController().signal;
const image = (name: string): Task => ({ type: 'image', namespace: 'default', name });

test('tasks come in order, and a waiting scan is not queued twice', async () => {
  const queue = new TaskQueue();
  const first = queue.next(signal);
  queue.push(image('a'));
  assert.deepEqual(await first, image('a'));
  queue.push({ type: 'scan', notify: 'difference' });
  queue.push({ type: 'scan', notify: 'difference' });
  queue.push(image('b'));
  assert.equal((await queue.next(signal)).type, 'scan');
  assert.deepEqual(await queue.next(signal), image('b'));
});

test('too many tasks become one scan', async () => {
  const queue = new TaskQueue();
  for (let i = 0; i < 10_000; i++) queue.push(image(`a${i}`));
  let taken = 0;
  let scans = 0;
  for (const abort = AbortSignal.timeout(50); ; taken++) {
    const task = await queue.next(abort).catch(() => undefined);
    if (task === undefined) break;
    if (task.type === 'scan') scans += 1;
  }
  assert.ok(taken <= 2_000);
  assert.ok(scans >= 1);
});

test('delayed scans keep or restart their delay, and none is left after close', async () => {
  const queue = new TaskQueue();
  const began = performance.now();
  queue.scanLater(400, 'keep');
  queue.scanLater(600, 'restart');
  await delay(200);
  queue.scanLater(400, 'keep');
  queue.scanLater(600, 'restart');
  await queue.next(signal);
  assert.ok(performance.now() - began < 590);
  await queue.next(signal);
  assert.ok(performance.now() - began >= 790);
  queue.pushLater(1, image('a'));
  queue.scanLater(1, 'keep');
  queue.close();
  await assert.rejects(queue.next(AbortSignal.timeout(20)));
});
