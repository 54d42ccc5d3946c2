import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { type Body, wholeBody } from '../../lib/http/body.ts';
import { Multipart } from '../../lib/http/multipart.ts';
import type { ByteRange } from '../../lib/http/ranges.ts';

const RANGES: readonly ByteRange[] = [
  { start: 0, end: 3 },
  { start: 5, end: 9 },
  { start: 4, end: 5 },
];
const CONTENT = Buffer.from('0123456789');

/** Parts that say what became of them. */
class Parts {
  readonly log: string[] = [];

  readonly open = (range: ByteRange, bytes = CONTENT.subarray(range.start, range.end)): Body => {
    const name = `${range.start}-${range.end}`;
    this.log.push(`open ${name}`);
    const body = wholeBody(bytes);
    let isOpen = true;
    return {
      next: () => body.next(),
      close: () => {
        if (isOpen) this.log.push(`close ${name}`);
        isOpen = false;
      },
    };
  };
}

function start(parts: Parts, open: (range: ByteRange) => Body | Promise<Body> = parts.open) {
  const multipart = new Multipart(RANGES, CONTENT.byteLength, 'text/plain');
  const [first = { start: 0, end: 0 }] = RANGES;
  return { multipart, body: multipart.body(parts.open(first), open) };
}

async function textOf(body: Body): Promise<string> {
  const pieces: Buffer[] = [];
  for (let piece = await body.next(); piece !== undefined; piece = await body.next()) {
    pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces).toString();
}

test('the parts come with their heads, and the length is right', async () => {
  const { multipart, body } = start(new Parts());
  const text = await textOf(body);
  const boundary = multipart.contentType.replace('multipart/byteranges; boundary=', '');
  assert.match(boundary, /^[0-9a-f]{32}$/);
  const lines = [
    `--${boundary}`,
    'Content-Type: text/plain',
    'Content-Range: bytes 0-2/10',
    '',
    '012',
    `--${boundary}`,
    'Content-Type: text/plain',
    'Content-Range: bytes 5-8/10',
    '',
    '5678',
    `--${boundary}`,
    'Content-Type: text/plain',
    'Content-Range: bytes 4-4/10',
    '',
    '4',
    `--${boundary}--`,
    '',
  ];
  assert.equal(text, lines.join('\r\n'));
  assert.equal(multipart.length, Buffer.byteLength(text));
});

test('a part is opened when the one before is closed, and not before', async () => {
  const parts = new Parts();
  const { body } = start(parts);
  await body.next();
  await body.next();
  assert.deepEqual(parts.log, ['open 0-3']);
  await body.next();
  assert.deepEqual(parts.log, ['open 0-3', 'close 0-3', 'open 5-9']);
  body.close();
  body.close();
  assert.deepEqual(parts.log.slice(3), ['close 5-9']);
});

test('a body that is closed before its first byte frees the first part', () => {
  const parts = new Parts();
  start(parts).body.close();
  assert.deepEqual(parts.log, ['open 0-3', 'close 0-3']);
});

test('a part that is still on its way when the body is closed is closed as well', async () => {
  const parts = new Parts();
  const arrival = Promise.withResolvers<Body>();
  const { body } = start(parts, () => arrival.promise);
  await body.next();
  await body.next();
  const next = body.next();
  body.close();
  arrival.resolve(parts.open({ start: 5, end: 9 }));
  await next.catch(() => {});
  assert.deepEqual(parts.log, ['open 0-3', 'close 0-3', 'open 5-9', 'close 5-9']);
});

for (const [name, bytes] of [
  ['too short', '567'],
  ['too long', '56789'],
] as const) {
  test(`a part that is ${name} ends the body`, async () => {
    const parts = new Parts();
    const { body } = start(parts, (range) => parts.open(range, Buffer.from(bytes)));
    await assert.rejects(textOf(body), RangeError);
  });
}

test('a part that cannot be opened ends the body', async () => {
  const { body } = start(new Parts(), () => Promise.reject(new Error('nobody has it')));
  await assert.rejects(textOf(body), /nobody has it/);
});

test('what the kernel sends right behind the head of a part belongs to the part', async (t) => {
  const client = new Socket();
  t.after(() => client.destroy());
  const open = ({ start, end }: ByteRange): Body => {
    let missing = end - start;
    const take = () => {
      const taken = missing;
      missing = 0;
      return taken;
    };
    return {
      send: async () => take(),
      next: async () => (missing === 0 ? undefined : new Uint8Array(take())),
      close: () => {},
    };
  };
  const multipart = new Multipart(RANGES, CONTENT.byteLength, 'text/plain');
  const [first = { start: 0, end: 0 }] = RANGES;
  const body = multipart.body(open(first), open);
  let count = 0;
  for (let piece = await body.next(); piece !== undefined; piece = await body.next()) {
    count += piece.byteLength;
    count += (await body.send?.(client)) ?? 0;
  }
  assert.equal(count, multipart.length);
});
