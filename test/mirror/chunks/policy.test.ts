/** Which chunk a source gives, how many sources there are, and when they are looked for. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { BodyChunk, type Giver } from '../../../lib/mirror/chunks/body-chunk.ts';
import { chooseChunk } from '../../../lib/mirror/chunks/choose-chunk.ts';
import { ChunkBuffers } from '../../../lib/mirror/chunks/chunk-buffers.ts';
import { ChunkWindow } from '../../../lib/mirror/chunks/chunk-window.ts';
import {
  FIRST_SOURCES,
  FULL_LINK_MEMORY_MS,
  LIMIT_WINDOW_MS,
  MAX_SOURCES,
  MAX_WINDOWS_BYTES,
  RATE_MEMORY_MS,
  STEP_MS,
  WINDOW_BYTES,
} from '../../../lib/mirror/chunks/constants.ts';
import { OwnLink } from '../../../lib/mirror/chunks/own-link.ts';
import { Progress } from '../../../lib/mirror/chunks/progress.ts';
import { SourceCount } from '../../../lib/mirror/chunks/source-count.ts';
import { SourceLimit } from '../../../lib/mirror/chunks/source-limit.ts';

const MIB = 1024 * 1024;
const peer = { peerId: 'peer', address: '10.0.0.1:5000' };

/** A source that gave `rate` bytes per millisecond at its last request. */
const giver = (rate?: number): Giver => ({ progress: new Progress(rate) });
const chunkAt = (index: number) =>
  new BodyChunk({ start: index * MIB, end: (index + 1) * MIB }, Buffer.alloc(MIB));
const asked = (chunk: BodyChunk, by: Giver) => {
  by.progress.begin();
  chunk.sources.set(by, new AbortController());
  return chunk;
};

test('a source takes the first chunk that nobody gives', () => {
  const [one, other] = [giver(1_000), giver(1_000)];
  const chunks = [asked(chunkAt(0), one), asked(chunkAt(1), one)];
  const view = { head: 0, end: 8, sources: new Set([one, other]), get: (at: number) => chunks[at] };
  assert.equal(chooseChunk(view, other), 2);
  chunks[1]?.sources.clear();
  assert.equal(chooseChunk(view, other), 1, 'its source is gone');
});

test('a slow source takes a chunk that is not due before it has it, or none', () => {
  const [fast, slow] = [giver(9_000), giver(1_000)];
  const view = { head: 3, end: 30, sources: new Set([fast, slow]), get: () => undefined };
  assert.equal(chooseChunk(view, fast), 3);
  assert.equal(chooseChunk(view, slow), 13);
  assert.equal(chooseChunk({ ...view, end: 13 }, slow), undefined);
});

test('a source takes a late chunk over, when it has the rest far sooner', () => {
  const [fast, slow, even] = [giver(10_000), giver(1_000), giver(1_500)];
  const late = asked(chunkAt(0), slow);
  const view = {
    head: 0,
    end: 1,
    sources: new Set([fast, slow, even]),
    get: (at: number) => (at === 0 ? late : undefined),
  };
  assert.equal(chooseChunk(view, fast), 0);
  assert.equal(chooseChunk(view, even), undefined, 'that would be no gain');
  assert.equal(chooseChunk(view, slow), undefined, 'it gives the chunk already');
  late.put(randomBytes(MIB), 0, peer);
  assert.equal(chooseChunk(view, fast), undefined, 'it is complete');
});

test('bytes that come twice count once, and none come behind the end', () => {
  const chunk = chunkAt(0);
  const bytes = randomBytes(MIB);
  chunk.put(bytes.subarray(0, 1_000), 0, peer);
  chunk.put(bytes.subarray(500, 800), 500, peer);
  assert.equal(chunk.filled, 1_000);
  chunk.put(bytes.subarray(800), 800, peer);
  assert.equal(chunk.missing, 0);
  assert.deepEqual(chunk.buffer, bytes);
  const dropped = chunkAt(0);
  dropped.drop();
  dropped.put(bytes, 0, peer);
  assert.deepEqual(dropped.buffer, Buffer.alloc(MIB), 'its buffer is another body’s by now');
});

test('windows are bounded for the host, and each body has room for its next chunk', () => {
  const buffers = new ChunkBuffers();
  const plan = { range: { start: 0, end: 100 * MIB }, firstBytes: MIB, chunkBytes: MIB };
  const source = giver();
  const ask = (window: ChunkWindow) => {
    const chunk = window.choose(source, new Set([source]));
    if (chunk !== undefined) asked(chunk, giver(1));
    return chunk;
  };
  const windows = Array.from({ length: 3 }, () => new ChunkWindow(buffers, plan));
  const counts = windows.map((window) => {
    let count = 0;
    while (ask(window) !== undefined) count += 1;
    return count;
  });
  assert.deepEqual(counts, [WINDOW_BYTES / MIB, WINDOW_BYTES / MIB, 1]);
  assert.equal(buffers.inUse, MAX_WINDOWS_BYTES + MIB);
  for (const window of windows) window.close();
  assert.equal(buffers.inUse, 0);
});

/** A clock that a test sets. */
class Clock {
  at = 1_000;
  readonly now = () => this.at;
}

test('a rate is that of the last moments, and falls when nothing comes', () => {
  const clock = new Clock();
  const progress = new Progress(undefined, clock.now);
  progress.begin();
  assert.equal(progress.rate(), undefined);
  for (let step = 0; step < 20; step += 1) {
    clock.at += 20;
    progress.add(20_000);
  }
  assert.ok(Math.abs((progress.rate() ?? 0) - 1_000) < 1);
  progress.end();
  clock.at += RATE_MEMORY_MS / 2;
  assert.ok((progress.rate() ?? 0) > 900, 'nothing was asked of it meanwhile');
  clock.at += RATE_MEMORY_MS;
  assert.equal(progress.rate(), undefined, 'that was long ago');
  progress.begin();
  clock.at += 10;
  assert.ok((progress.rate() ?? 0) > 900, 'too young to tell');
  for (let step = 0; step < 3; step += 1) {
    clock.at += 150;
    progress.rate();
  }
  assert.equal(progress.rate(), 0);
});

test('a source is the limit when its client waits half of the time', () => {
  const clock = new Clock();
  const limit = new SourceLimit(clock.now);
  const run = (waitMs: number, sendMs: number) => {
    for (let ms = 0; ms <= LIMIT_WINDOW_MS; ms += waitMs + sendMs) {
      limit.wait();
      clock.at += waitMs;
      limit.took(10_000);
      clock.at += sendMs;
      limit.add(5_000);
    }
  };
  run(2, 8);
  assert.equal(limit.rate, undefined);
  run(8, 2);
  run(8, 2);
  assert.ok(Math.abs((limit.rate ?? 0) - 1_500) < 200, `${limit.rate}`);
});

test('sources are added while they bring more, and a full link is remembered for a while', () => {
  const clock = new Clock();
  const link = new OwnLink(clock.now);
  const flow = (rate: number) => {
    for (let ms = 0; ms < STEP_MS; ms += 10) {
      clock.at += 10;
      link.add(rate * 10);
    }
  };
  flow(10_000);
  const growing = new SourceCount(link, clock.now);
  growing.begin();
  flow(40_000);
  assert.equal(growing.measure(FIRST_SOURCES), false);
  assert.ok(growing.allowed > FIRST_SOURCES);
  flow(80_000);
  growing.measure(growing.allowed);
  flow(80_000);
  assert.equal(growing.measure(growing.allowed), true, 'the last ones brought nothing');
  assert.ok(growing.allowed <= MAX_SOURCES);
  assert.equal(link.isFull, false, 'the first ones did');

  const full = new SourceCount(link, clock.now);
  flow(82_000);
  assert.equal(full.measure(2), false, 'nobody else has given anything yet');
  full.begin();
  flow(82_000);
  assert.equal(full.measure(2), true);
  assert.equal(link.isFull, true);
  flow(20_000);
  assert.equal(link.isFull, false, 'there is room');
  flow(80_000);
  clock.at += FULL_LINK_MEMORY_MS;
  flow(80_000);
  assert.equal(link.isFull, false, 'that was long ago');
});
