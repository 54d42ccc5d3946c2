/** A closed network's connections and the muxer on them, cut as a network likes. */
import assert from 'node:assert/strict';
import { multiaddrConnectionPair } from '@libp2p/utils';
import { xsalsa20 } from '@noble/ciphers/salsa.js';
import fc from 'fast-check';
import { silentLogger as log } from '../../lib/base/log.ts';
import { KeyStream } from '../../lib/network-key/key-stream.ts';
import { PskProtector } from '../../lib/network-key/psk-protector.ts';
import { keepAliveYamux } from '../../lib/routing/transport/keepalive-yamux.ts';
import { keyBytes, TestKeys } from '../support/network-keys.ts';
import { fuzz, fuzzer } from './fuzzer.ts';
import { cuts, mutatedBytes, pieces } from './mutations.ts';

const HELLO = Buffer.from('\x13/multistream/1.0.0\n');
const NONCE = Buffer.alloc(24, 2);
const HANG_MS = 20_000;

/** What whoever has a key says first, and what follows. */
const opening = fc
  .tuple(fc.constantFrom(1, 2, 3), fc.uint8Array({ maxLength: 300 }))
  .map(([seed, rest]) => {
    const cipher = new KeyStream(keyBytes(seed), NONCE);
    return Buffer.concat([NONCE, cipher.xor(Buffer.concat([HELLO, rest]))]);
  });

/** Resolves when there is nothing more to do but to wait; rejects where it does not settle. */
async function settled<T>(promise: Promise<T>): Promise<T | Error> {
  let timer: NodeJS.Timeout | undefined;
  const hung = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('it hangs')), HANG_MS);
  });
  try {
    return await Promise.race([promise.catch((error: Error) => error), hung]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * What a host with the keys 1 and 2 reads of a connection on which this comes, `count` bytes; an
 * Error: it does not let it in. With no `count` the other side closes the connection then.
 */
async function readBy(
  parts: readonly Uint8Array[],
  count: number | undefined,
): Promise<Buffer | Error> {
  const [theirs, ours] = multiaddrConnectionPair();
  const protector = new PskProtector({ log, keys: new TestKeys(1, 2) });
  const letIn = protector.protect(ours);
  for (const part of parts) if (theirs.status === 'open' && part.length > 0) theirs.send(part);
  if (count === undefined) theirs.close().catch(() => {});
  const box = await settled(letIn);
  try {
    if (box instanceof Error) return box;
    let heard: Buffer = Buffer.alloc(0);
    const all = new Promise<void>((resolve) => {
      box.addEventListener('message', ({ data }) => {
        heard = Buffer.concat([heard, data.subarray()]);
        if (heard.length >= (count ?? 0)) resolve();
      });
    });
    await settled(all);
    return heard;
  } finally {
    ours.abort(new Error('done'));
    theirs.abort(new Error('done'));
  }
}

/**
 * A frame of yamux (spec, "Framing"): a version, a type, flags, a stream and a length or window.
 */
const yamuxFrame = fc
  .record({
    version: fc.constantFrom(0, 0, 0, 0, 1),
    type: fc.constantFrom(0, 1, 2, 3, 9),
    flags: fc.constantFrom(0, 1, 2, 4, 8, 3, 0xffff),
    stream: fc.constantFrom(0, 1, 2, 3, 0xffffffff),
    length: fc.oneof(fc.nat(64), fc.constantFrom(0x40000, 0xffffffff)),
    data: fc.uint8Array({ maxLength: 64 }),
  })
  .map(({ version, type, flags, stream, length, data }) => {
    const head = Buffer.alloc(12);
    head.writeUInt8(version, 0);
    head.writeUInt8(type, 1);
    head.writeUInt16BE(flags, 2);
    head.writeUInt32BE(stream, 4);
    head.writeUInt32BE(type === 0 && length <= 64 ? data.length : length, 8);
    return Buffer.concat(type === 0 ? [head, data] : [head]);
  });
const frames = mutatedBytes(
  fc.array(yamuxFrame, { maxLength: 8 }).map((list) => Buffer.concat(list)),
);

fuzz(import.meta.filename, [
  fuzzer(
    'KeyStream: cuts do not change the bytes, and twice is not at all',
    fc.tuple(mutatedBytes(opening), cuts),
    ([bytes, at]) => {
      const stream = new KeyStream(keyBytes(1), NONCE);
      const cut = Buffer.concat(pieces(bytes, at).map((piece) => stream.xor(piece)));
      assert.ok(cut.equals(xsalsa20(keyBytes(1), NONCE, bytes)));
      assert.ok(Buffer.from(new KeyStream(keyBytes(1), NONCE).xor(cut)).equals(bytes));
    },
  ),

  fuzzer(
    'NetworkProtector: who has a key is read, however its bytes are cut; nobody else is let in',
    fc.tuple(fc.oneof(opening, mutatedBytes(opening)), cuts),
    async ([bytes, at]) => {
      const isWhole = bytes.length >= 24 + HELLO.length;
      const plain = (isWhole ? [1, 2] : []).map((seed) =>
        Buffer.from(new KeyStream(keyBytes(seed), bytes.subarray(0, 24)).xor(bytes.subarray(24))),
      );
      const expected = plain.find((text) => text.subarray(0, HELLO.length).equals(HELLO));
      const read = await readBy(pieces(bytes, at), expected?.length);
      if (expected === undefined) assert.ok(read instanceof Error);
      else assert.ok(!(read instanceof Error) && read.equals(expected), String(read));
    },
  ),

  fuzzer(
    'yamux: frames of any kind, however cut, end the connection or are read; nothing is thrown',
    fc.tuple(frames, cuts),
    async ([bytes, at]) => {
      const [theirs, ours] = multiaddrConnectionPair();
      const factory = keepAliveYamux()();
      const muxer = factory.createStreamMuxer(ours);
      muxer.addEventListener('stream', ({ detail }) => {
        detail.addEventListener('message', () => {});
      });
      for (const part of pieces(bytes, at))
        if (theirs.status === 'open' && part.length > 0) theirs.send(part);
      await new Promise((resolve) => setTimeout(resolve, 5));
      assert.ok(muxer.streams.length <= 8);
      muxer.abort(new Error('done'));
      ours.abort(new Error('done'));
      theirs.abort(new Error('done'));
    },
  ),
]);
