import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import { EventFeed } from '../../lib/store/event-feed.ts';
import type { StoreEvent } from '../../lib/store/store.ts';

const plain = (event: StoreEvent | undefined) =>
  event && { type: event.type, keys: [...event.keys] };

/** Takes `count` events. */
async function take(events: AsyncIterator<StoreEvent>, count: number) {
  const taken = [];
  for (let i = 0; i < count; i++) taken.push(plain((await events.next()).value ?? undefined));
  return taken;
}

test('watchers get nothing before the state is known, then a snapshot, then changes in order', async () => {
  const feed = new EventFeed();
  const abort = new AbortController();
  const events = feed.watch(abort.signal)[Symbol.asyncIterator]();
  const first = events.next();
  await delay(5);
  feed.replace(new Set(['a', 'b']));
  assert.deepEqual(plain((await first).value ?? undefined), { type: 'snapshot', keys: ['a', 'b'] });
  feed.update({ added: ['c', 'a', 'c'], removed: ['b', 'x'] });
  feed.change(new Set(['c', 'd']));
  feed.update({ added: ['c'], removed: ['x'] });
  assert.deepEqual(await take(events, 4), [
    { type: 'removed', keys: ['b'] },
    { type: 'added', keys: ['c'] },
    { type: 'removed', keys: ['a'] },
    { type: 'added', keys: ['d'] },
  ]);
  feed.replace(new Set(['z']));
  assert.deepEqual(await take(events, 1), [{ type: 'snapshot', keys: ['z'] }]);
  abort.abort();
  assert.equal((await events.next()).done, true);
});

test('a slow watcher gets one snapshot instead of thousands of events', async () => {
  const feed = new EventFeed();
  feed.replace(new Set());
  const abort = new AbortController();
  const events = feed.watch(abort.signal)[Symbol.asyncIterator]();
  await take(events, 1);
  for (let i = 0; i < 5_000; i++) feed.update({ added: [`key${i}`] });
  feed.update({ removed: ['key0'] });
  const [event] = await take(events, 1);
  assert.equal(event?.type, 'snapshot');
  assert.equal(event?.keys.length, 4_999);
  feed.update({ added: ['last'] });
  assert.deepEqual(await take(events, 1), [{ type: 'added', keys: ['last'] }]);
  abort.abort();
});

test('an abort ends a watch that waits, also before the first event', async () => {
  const feed = new EventFeed();
  const abort = new AbortController();
  const waiting = feed.watch(abort.signal).next();
  abort.abort();
  assert.equal((await waiting).done, true);
  assert.equal((await feed.watch(abort.signal).next()).done, true);
});
