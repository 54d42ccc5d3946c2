/** Requests to this host: bytes on a socket of the registry and of the metrics. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { silentLogger as log } from '../../lib/base/log.ts';
import { HttpServer } from '../../lib/http/server.ts';
import { Metrics } from '../../lib/metrics/metrics.ts';
import { blobPath, manifestPath, startNode } from '../mirror/support.ts';
import { fuzz, fuzzer } from './fuzzer.ts';
import { cuts, mutatedBytes, pieces } from './mutations.ts';

/** An end that comes at all comes at once. */
const HANG_MS = 20_000;

const node = await startNode((stop) => after(stop));
const digest = node.store.add(Buffer.alloc(2_000, 'spegel'));
const metrics = new Metrics();
const metricsServer = new HttpServer(
  { handler: metrics.handle, log },
  { address: { host: '127.0.0.1', port: 0 }, name: 'metrics', option: '--metrics-addr' },
);
await metricsServer.start(new AbortController().signal);
after(() => metricsServer.stop());

const PATHS = [
  blobPath(digest),
  manifestPath('v1'),
  manifestPath(digest),
  '/v2/',
  '/metrics',
  '/livez?a=b',
  '/v2/../../etc/passwd',
  '/v2/a/manifests/\u009b31m?ns=\u0085',
  '*',
  'http://evil.example/v2/',
];
const FIELDS = [
  'Host: 127.0.0.1',
  'Host: evil.example',
  'Range: bytes=0-99',
  'Range: bytes=0-1,5-9,20-',
  'Content-Length: 3',
  'Transfer-Encoding: chunked',
  'Expect: 100-continue',
  'Connection: Upgrade\r\nUpgrade: websocket',
  'X-Spegel-Mirrored: true',
  'X-Spegel-Inflight: true',
  'X-Spegel-Signature: v1 1 ab',
  'Authorization: Basic YTpi',
  'Accept: \u0085',
];
const request = fc
  .record({
    method: fc.constantFrom('GET', 'GET', 'GET', 'HEAD', 'POST', 'CONNECT', 'PRI'),
    path: fc.constantFrom(...PATHS),
    version: fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0'),
    fields: fc.shuffledSubarray(FIELDS, { maxLength: 4 }),
    body: fc.constantFrom('', '', 'abc', '3\r\nabc\r\n0\r\n\r\n'),
  })
  .map(({ method, path, version, fields, body }) => {
    const head = [`${method} ${path} ${version}`, ...fields, '', ''].join('\r\n');
    return Buffer.from(head + body, 'latin1');
  });
const connection = mutatedBytes(
  fc.array(request, { minLength: 1, maxLength: 3 }).map((list) => Buffer.concat(list)),
  ['\r\n', '\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n', ' ', ':', '%'],
);

/** All that a server says to these bytes until it ends the connection. */
async function answerTo(port: number, said: readonly Uint8Array[]): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const heard: Buffer[] = [];
  socket.on('data', (piece) => heard.push(Buffer.from(piece)));
  const end = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the connection stays open')), HANG_MS);
    const over = (settle: () => void) => () => {
      clearTimeout(timer);
      settle();
    };
    socket.on('end', over(resolve));
    // By what was written behind an end that the server had sent already.
    socket.on('error', over(resolve));
  });
  end.catch(() => {});
  try {
    for (const piece of said) {
      if (socket.writable) socket.write(piece);
      await turn();
    }
    socket.end();
    await end;
  } finally {
    socket.destroy();
  }
  return Buffer.concat(heard).toString('latin1');
}

/**
 * Each answer is HTTP, none a failure of ours, and its head has no character that it must not have.
 */
function assertAnswers(text: string): void {
  if (text === '') return;
  assert.match(text, /^HTTP\/1\.1 (?:[1-4]\d\d|503) /);
  assert.doesNotMatch(text, /^HTTP\/1\.1 (?:408|429|5(?!03)\d\d)/m);
  const [head = ''] = text.split('\r\n\r\n', 1);
  assert.doesNotMatch(head.replaceAll('\r\n', ''), /[^\x20-\x7e]/);
}

const registryPort = Number(node.address.split(':')[1]);
const exchange = fc.tuple(connection, cuts);

fuzz(import.meta.filename, [
  fuzzer(
    'the registry: whatever comes, however cut, the answers are HTTP, and nothing stays open',
    exchange,
    async ([said, at]) => {
      assertAnswers(await answerTo(registryPort, pieces(said, at)));
      assert.equal(await answerTo(registryPort, [GOOD]).then((text) => text.slice(0, 15)), OK);
      assert.equal(node.store.open, 0);
    },
  ),

  fuzzer(
    'the metrics: whatever comes, however cut, the answers are HTTP',
    exchange,
    async ([said, at]) => {
      assertAnswers(await answerTo(metricsServer.port, pieces(said, at)));
    },
  ),
]);

const OK = 'HTTP/1.1 200 OK';
const GOOD = Buffer.from('GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n');
