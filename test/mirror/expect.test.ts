import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRange } from '../../lib/http/ranges.ts';
import { parseResponseHead } from '../../lib/http/response-head.ts';
import { checkBlob, checkManifest } from '../../lib/mirror/expect.ts';

test('what a peer says in a header is cut and escaped in the failure', () => {
  const odd = `\u009b31m\u0085${'x'.repeat(2_000)}`;
  const head = (status: number, name: string) => {
    const text = `HTTP/1.1 ${status} a\r\nContent-Length: 5\r\n${name}: ${odd}`;
    const parsed = parseResponseHead(Buffer.from(text, 'latin1'));
    assert.ok(parsed);
    return parsed;
  };
  for (const fail of [
    () => checkManifest(head(200, 'Docker-Content-Digest'), undefined),
    () => checkBlob(head(206, 'Content-Range'), parseRange('bytes=5-'), undefined),
    () => checkBlob(head(403, 'Date'), undefined, undefined),
  ]) {
    assert.throws(fail, ({ message }: Error) => {
      assert.match(message, /\\u009b31m\\u0085x+…/);
      return message.length < 300;
    });
  }
});
