import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { waitUntil } from '../../lab/processes/exec.ts';
import { Advertiser } from '../../lib/advertise/advertiser.ts';
import type { Gauge, Instruments } from '../../lib/base/instruments.ts';
import { createLogger, silentLogger } from '../../lib/base/log.ts';
import { EventFeed } from '../../lib/store/event-feed.ts';
import type { StoreEvent } from '../../lib/store/store.ts';

const signal = new AbortController().signal;
const DIGEST = `sha256:${'a'.repeat(64)}`;
const OTHER = `sha256:${'b'.repeat(64)}`;
const TAG = 'docker.io/library/debian:12';

class RecordingRouter {
  readonly calls: string[] = [];
  readonly keys = new Set<string>();
  failures = 0;

  advertise(keys: Iterable<string>): void {
    if (this.failures-- > 0) throw new Error('router is not well');
    for (const key of keys)
      this.#record('+', key, !this.keys.has(key) && Boolean(this.keys.add(key)));
  }

  withdraw(keys: Iterable<string>): void {
    for (const key of keys) this.#record('-', key, this.keys.delete(key));
  }

  #record(sign: string, key: string, changes: boolean): void {
    assert.ok(changes, `${sign}${key} changes something`);
    this.calls.push(`${sign}${key}`);
  }
}

function gauges() {
  const values = new Map<string, number>();
  const gauge = (name: string): Gauge => ({
    set: ({ registry }, value) => values.set(`${name} ${registry}`, value),
  });
  const instruments = {
    advertisedImages: gauge('images'),
    advertisedImageTags: gauge('tags'),
    advertisedImageDigests: gauge('digests'),
    advertisedKeys: gauge('keys'),
  } as Partial<Instruments> as Instruments;
  return { instruments, values };
}

async function start(
  t: TestContext,
  store: { watch(signal: AbortSignal): AsyncIterable<StoreEvent> },
  log = silentLogger,
) {
  const router = new RecordingRouter();
  const { instruments, values } = gauges();
  const advertiser = new Advertiser({ store, router, instruments, log });
  t.after(() => advertiser.stop());
  await advertiser.start(signal);
  return { advertiser, router, values };
}

test('events become calls of the router with the changes only, and set the gauges', async (t) => {
  const feed = new EventFeed();
  const { router, values } = await start(t, feed);
  feed.replace(new Set([DIGEST, TAG]));
  await waitUntil('the snapshot is advertised', () => router.calls.length === 2);
  feed.update({ added: [OTHER, DIGEST], removed: [TAG] });
  await waitUntil('the change is advertised', () => router.calls.length === 4);
  assert.deepEqual(router.calls, [`+${DIGEST}`, `+${TAG}`, `-${TAG}`, `+${OTHER}`]);
  feed.replace(new Set([OTHER]));
  await waitUntil('the next snapshot is', () => router.calls.length === 5);
  assert.deepEqual([...router.keys], [OTHER]);
  assert.deepEqual(Object.fromEntries(values), {
    'keys ': 1,
    'digests ': 1,
    'keys docker.io': 0,
    'images docker.io': 0,
    'tags docker.io': 0,
  });
});

test('after an error of the store or router the missing keys are advertised', async (t) => {
  const feed = new EventFeed();
  feed.replace(new Set([DIGEST]));
  let throws = 1;
  const store = {
    watch(watchSignal: AbortSignal) {
      if (throws-- > 0) throw new Error('store is not well');
      return feed.watch(watchSignal);
    },
  };
  const lines: string[] = [];
  const { router, values } = await start(
    t,
    store,
    createLogger('ERROR', (line) => lines.push(line)),
  );
  router.failures = 1;
  await waitUntil('it is advertised in the end', () => router.keys.has(DIGEST));
  assert.equal(lines.length, 2);
  assert.equal(values.get('keys '), 1);
});

test('it stops while it waits, twice', async (t) => {
  const { advertiser } = await start(t, new EventFeed());
  await advertiser.stop();
  await advertiser.stop();
});
