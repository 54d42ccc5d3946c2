import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { connect } from 'node:net';
import { test } from 'node:test';
import { blob, blobPath, manifestPath, type Node, startNode } from '../mirror/support.ts';

const FUZZ_RUNS = 400;

/** Sends text on a raw socket, half-closes where asked, and waits for the end. */
async function send(node: Node, text: string | Buffer, halfClose: boolean) {
  const [host = '', port] = node.address.split(':');
  const socket = connect({ host, port: Number(port), allowHalfOpen: true });
  const pieces: Buffer[] = [];
  socket.on('data', (piece) => pieces.push(Buffer.from(piece)));
  socket.write(text);
  if (halfClose) socket.end();
  const end = await new Promise<string>((resolve) => {
    const timer = setTimeout(() => resolve('still open'), 2_000);
    const done = (how: string) => {
      clearTimeout(timer);
      resolve(how);
    };
    socket.on('end', () => done('fin'));
    socket.on('error', (error) => done(`reset ${error.message}`));
  });
  socket.destroy();
  return { text: Buffer.concat(pieces).toString('latin1'), end };
}

const pick = <T>(list: readonly T[]): T => list[randomInt(list.length)] as T;

function randomRequest(digest: string): string {
  const paths = [
    blobPath(digest),
    manifestPath('v1'),
    manifestPath(digest),
    '/v2/',
    '/',
    '*',
    '//',
    '/v2//blobs/',
    `/v2/${'a/'.repeat(200)}blobs/${digest}?ns=a`,
    `/v2/a/blobs/${digest}?ns=${'n'.repeat(300)}`,
    `/v2/a/blobs/${digest}?ns=a&ns=b&ns=`,
    `/v2/a/manifests/${randomBytes(8).toString('latin1').replaceAll(/\s/g, '')}?ns=a`,
    `/${'%00'.repeat(50)}`,
    'http://example.com/v2/',
    `/livez?${'x'.repeat(2_000)}`,
    '/constructor',
    '/__proto__',
  ];
  const headers = [
    '',
    'Range: bytes=0-\r\n',
    `Range: bytes=${randomInt(20_000)}-${randomInt(20_000)}\r\n`,
    `Range: ${randomBytes(6).toString('base64')}\r\n`,
    `Range: bytes=${'1-2,'.repeat(500)}\r\n`,
    'Range: bytes=1-\r\nRange: bytes=2-\r\n',
    'Content-Length: 5\r\n\r\nhello',
    'Content-Length: 99999999\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Expect: 100-continue\r\n',
    'Expect: nonsense\r\n',
    'Upgrade: websocket\r\nConnection: Upgrade\r\n',
    'Host: \r\nHost: b\r\n',
    'X-Spegel-Mirrored: true\r\n',
    `X: ${'y'.repeat(randomInt(20_000))}\r\n`,
    ' folded: yes\r\n',
    'no colon\r\n',
  ];
  const method = pick(['GET', 'GET', 'HEAD', 'POST', 'DELETE', 'TRACE', 'NONSENSE', 'get', '']);
  const version = pick(['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/3', '']);
  const close = version === 'HTTP/1.1' ? 'Connection: close\r\n' : '';
  return `${method} ${pick(paths)} ${version}\r\n${close}${pick(headers)}\r\n`;
}

test('whatever is sent, the answer is HTTP or a clean close, and the node lives', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(10_000);
  node.store.add(bytes);
  const inputs = Array.from({ length: FUZZ_RUNS }, (_, at) =>
    at % 5 === 0 ? randomBytes(randomInt(2_000)) : randomRequest(digest),
  );
  for (let at = 0; at < inputs.length; at += 20) {
    await Promise.all(
      inputs.slice(at, at + 20).map(async (input) => {
        const shown = JSON.stringify(input.toString('latin1').slice(0, 300));
        const { text, end } = await send(node, input, true);
        assert.equal(end, 'fin', shown);
        if (text === '') return;
        assert.match(text, /^HTTP\/1\.1 \d{3} /, shown);
        assert.doesNotMatch(text, /^HTTP\/1\.1 (?:408|429|5)/, shown);
        const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(text) ?? [];
        if (Number(status) < 400 || /^HEAD/.test(input.toString('latin1'))) return;
        assert.match(text, /"errors":\[\{"code":"[A-Z_]+"/, shown);
      }),
    );
  }
  assert.equal((await fetch(`${node.url}${blobPath(digest)}`)).status, 200);
  assert.equal(node.store.open, 0);
});

test('a head that comes byte by byte is answered', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const [host = '', port] = node.address.split(':');
  const socket = connect({ host, port: Number(port) });
  for (const byte of 'GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n') {
    socket.write(byte);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  let text = '';
  for await (const piece of socket) text += piece;
  assert.match(text, /^HTTP\/1.1 200 .*ok$/s);
});

test('requests one after the other on one connection are all answered', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(100);
  node.store.add(bytes);
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n`;
  const text =
    `${get(blobPath(digest))}\r\n${get('/nonsense')}\r\n` +
    `${get(blobPath(digest))}Connection: close\r\n\r\n`;
  const answer = await send(node, text, false);
  assert.equal(answer.end, 'fin');
  assert.deepEqual(answer.text.match(/HTTP\/1\.1 \d{3}/g), [
    'HTTP/1.1 200',
    'HTTP/1.1 404',
    'HTTP/1.1 200',
  ]);
});
