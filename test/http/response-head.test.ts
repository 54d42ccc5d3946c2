import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_RESPONSE_HEAD_BYTES } from '../../lib/http/constants.ts';
import { HeadReader, parseResponseHead } from '../../lib/http/response-head.ts';

const parse = (text: string) => parseResponseHead(Buffer.from(text, 'latin1'));

test('a plain head is read', () => {
  const head = parse('HTTP/1.1 206 Partial Content\r\ncontent-LENGTH: 5 \r\nX-A:b\r\nX-A: c');
  assert.equal(head?.status, 206);
  assert.equal(head?.contentLength, 5);
  assert.equal(head?.headers.get('x-a'), 'b');
  assert.equal(parse('HTTP/1.1 200\r\nContent-Length: 0')?.status, 200);
});

test('everything else is refused', () => {
  const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 5';
  const bad = [
    '',
    'garbage',
    'HTTP/1.0 200 OK\r\nContent-Length: 5',
    'HTTP/2 200\r\nContent-Length: 5',
    'HTTP/1.1 100 Continue',
    'HTTP/1.1 103 Early Hints\r\nContent-Length: 5',
    'HTTP/1.1 99 OK\r\nContent-Length: 5',
    'HTTP/1.1 2000 OK\r\nContent-Length: 5',
    'HTTP/1.1 200 OK',
    'HTTP/1.1 200 OK\r\nContent-Length: -5',
    'HTTP/1.1 200 OK\r\nContent-Length: 5x',
    'HTTP/1.1 200 OK\r\nContent-Length: 0x5',
    'HTTP/1.1 200 OK\r\nContent-Length: 5, 5',
    `HTTP/1.1 200 OK\r\nContent-Length: ${'9'.repeat(16)}`,
    `${ok}\r\nContent-Length: 6`,
    `${ok}\r\nTransfer-Encoding: chunked`,
    `${ok}\r\nContent-Encoding: gzip`,
    `${ok}\r\n folded: line`,
    `${ok}\r\nno colon`,
    `${ok}\r\nspace : before`,
    `${ok}\r\nX: \x00`,
    `${ok}\nX: y`,
    `${ok}\r\n: empty`,
  ];
  for (const text of bad) assert.equal(parse(text), undefined, JSON.stringify(text));
});

test('a head is found however it is cut, and the body begins after it', () => {
  const text = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody';
  for (let size = 1; size <= text.length; size += 1) {
    const reader = new HeadReader();
    let rest: string | undefined;
    for (let at = 0; rest === undefined && at < text.length; at += size) {
      const piece = Buffer.from(text.slice(at, at + size));
      const found = reader.push(piece);
      if (found === undefined) continue;
      assert.equal(found.head.contentLength, 4);
      rest = text.slice(at + piece.byteLength - found.rest.byteLength);
    }
    assert.equal(rest, 'body', `pieces of ${size}`);
  }
});

test('a head without an end is bounded', () => {
  const reader = new HeadReader();
  reader.push(Buffer.from('HTTP/1.1 200 OK\r\n'));
  assert.throws(() => {
    for (let at = 0; at <= MAX_RESPONSE_HEAD_BYTES; at += 1024)
      reader.push(Buffer.alloc(1024, 'a'));
  }, /longer than/);
});

test('a line full of blanks takes no time', () => {
  const startedAt = performance.now();
  for (const end of ['\x01', 'x']) {
    const line = `a:${' '.repeat(16_000)}${end}`;
    parseResponseHead(Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n${line}`, 'latin1'));
  }
  assert.ok(performance.now() - startedAt < 1_000);
});
