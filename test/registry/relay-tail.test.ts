/** Bytes of a relay that are not on the disk yet, for peers that read the same content here. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { untilAborted } from '../../lib/base/abortable.ts';
import type { Body } from '../../lib/http/body.ts';
import { digestOf } from '../../lib/oci/digest.ts';
import { RelayTails } from '../../lib/registry/relay-tail.ts';
import { type Reader, StalledError } from '../../lib/store/store.ts';

const MIB = 1024 * 1024;
const never = new AbortController().signal;

/** A file that is written in steps, as containerd does. */
class SteppedFile implements Reader {
  readonly #bytes: Buffer;
  written = 0;
  failure: Error | undefined;
  isClosed = false;
  /** What each read does first. */
  onRead: (signal: AbortSignal) => Promise<void> = async () => {};
  /** Reads that are under way: more than one would write to the same buffer. */
  reading = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  async read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number> {
    assert.equal(this.reading, 0);
    this.reading += 1;
    try {
      await this.onRead(signal);
      while (position >= this.written) {
        if (this.failure !== undefined) throw this.failure;
        await untilAborted(delay(2), signal);
      }
      const piece = this.#bytes.subarray(
        position,
        Math.min(this.written, position + buffer.length),
      );
      buffer.set(piece);
      return piece.byteLength;
    } finally {
      this.reading -= 1;
    }
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

/** A body that gives what is pushed into it. */
function bodyOf(pieces: Buffer[]): Body {
  return { next: async () => pieces.shift(), close() {} };
}

function reading(bytes: Buffer) {
  const tails = new RelayTails();
  const digest = digestOf(bytes);
  const file = new SteppedFile(bytes);
  const reader = tails.reader(file, digest);
  const relay = async (start: number, end: number) => {
    const pieces = [];
    for (let at = start; at < end; at += 100_000) {
      pieces.push(bytes.subarray(at, Math.min(end, at + 100_000)));
    }
    const body = tails.tap(bodyOf(pieces), digest, start);
    while ((await body.next()) !== undefined) await delay(1);
  };
  return { file, reader, relay };
}

async function readAll(reader: Reader, size: number): Promise<Buffer> {
  const whole = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    at += await reader.read(whole.subarray(at, at + 256 * 1024), at, never);
  }
  return whole;
}

test('what was relayed is read before it is on the disk', async () => {
  const bytes = randomBytes(900_000);
  const { reader, relay } = reading(bytes);
  const [read] = await Promise.all([readAll(reader, bytes.byteLength), relay(0, bytes.byteLength)]);
  assert.ok(read.equals(bytes));
});

test('a reader that is behind has the beginning from the disk and the rest from the relay', async () => {
  const bytes = randomBytes(7 * MIB + 11);
  const { file, reader, relay } = reading(bytes);
  const relaying = relay(0, bytes.byteLength);
  await delay(30);
  const read = readAll(reader, bytes.byteLength);
  for (let mib = 1; mib <= 8; mib += 1) {
    await delay(15);
    file.written = Math.min(bytes.byteLength, mib * MIB);
  }
  await relaying;
  assert.ok((await read).equals(bytes));
});

test('a read of the disk is not ended by bytes that are not wanted yet, however fast they come', async () => {
  const bytes = randomBytes(6 * MIB);
  const { file, reader, relay } = reading(bytes);
  let ended = 0;
  file.onRead = async (signal) => {
    await delay(20);
    if (signal.aborted) ended += 1;
    signal.throwIfAborted();
  };
  file.written = 3 * MIB;
  // A piece a millisecond, all beyond what the reader is at.
  const [read] = await Promise.all([readAll(reader, 2 * MIB), relay(3 * MIB, bytes.byteLength)]);
  assert.ok(read.equals(bytes.subarray(0, 2 * MIB)));
  assert.equal(ended, 0);
});

test('a relay that goes on elsewhere, after a gap, never mixes bytes', async () => {
  const bytes = randomBytes(3 * MIB);
  const { file, reader, relay } = reading(bytes);
  const read = readAll(reader, bytes.byteLength);
  await relay(0, 500_000);
  await relay(1_200_000, 2_000_000);
  file.written = 1_300_000;
  await delay(20);
  await relay(2_000_000, bytes.byteLength);
  file.written = bytes.byteLength;
  assert.ok((await read).equals(bytes));
});

test('content that stands still on the disk goes on as long as the relay does, and no longer', async () => {
  const bytes = randomBytes(MIB);
  const { file, reader, relay } = reading(bytes);
  file.failure = new StalledError('it has not grown');
  const buffer = Buffer.alloc(MIB);
  await assert.rejects(reader.read(buffer, 0, never), /has not grown/, 'nothing was relayed yet');
  await relay(0, 1000);
  assert.equal(await reader.read(buffer, 0, never), 1000);
  const waiting = reader.read(buffer, 1000, never);
  await delay(50);
  await relay(1000, 3000);
  assert.equal(await waiting, 2000);
  const started = performance.now();
  await assert.rejects(reader.read(buffer, 3000, never), /has not grown/);
  assert.ok(performance.now() - started < 4_500);
});

test('content that is gone ends its readers at once, whatever was relayed', async () => {
  const bytes = randomBytes(MIB);
  const { file, reader, relay } = reading(bytes);
  await relay(0, 1000);
  file.failure = new Error('it has vanished');
  await assert.rejects(reader.read(Buffer.alloc(10), 1000, never), /has vanished/);
});

test('an abort ends a read, and closing closes the file', async () => {
  const { file, reader } = reading(randomBytes(MIB));
  const abort = AbortSignal.timeout(30);
  await assert.rejects(reader.read(Buffer.alloc(10), 0, abort), { name: 'TimeoutError' });
  await reader.close();
  await reader.close();
  assert.ok(file.isClosed);
});
