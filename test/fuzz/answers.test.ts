/**
 * Answers over HTTP, of peers, upstream registries and whoever else is asked: bytes of a real
 * server.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { getPage } from '../../lib/bootstrap/http-client.ts';
import { parsePeerInfo } from '../../lib/bootstrap/peer-info.ts';
import { probe } from '../../lib/cleanup-wait/probe.ts';
import { BufferPool } from '../../lib/http/buffers.ts';
import { PeerConnections } from '../../lib/http/peer-connections.ts';
import { PeerFailure } from '../../lib/http/peer-failure.ts';
import { parseRange } from '../../lib/http/ranges.ts';
import { parseResponseHead } from '../../lib/http/response-head.ts';
import { peerAtRegistry, readDaemonStatus } from '../../lib/install/checks/daemon-status.ts';
import { askPeer } from '../../lib/mirror/ask.ts';
import { checkBlob, checkManifest } from '../../lib/mirror/expect.ts';
import { anonymousToken, parseChallenge } from '../../lib/upstream/anonymous-token.ts';
import { UpstreamFailure } from '../../lib/upstream/failure.ts';
import { clientWith, endpoint } from '../upstream/support.ts';
import { fuzz, fuzzer } from './fuzzer.ts';
import { CONTROL, cuts, mutatedBytes, mutatedText, pieces } from './mutations.ts';

/** An answer that has ended is judged at once; only one that hangs takes so long. */
const HANG_MS = 15_000;
const DIGEST = `sha256:${'ab'.repeat(32)}`;

const STATUS = [
  '200 OK',
  '206 Partial Content',
  '401 Unauthorized',
  '404 Not Found',
  '307 Temporary Redirect',
  '101 Switching Protocols',
  '100 Continue',
  '204 No Content',
  '503 \u009b31m',
];
const FIELDS = [
  'Content-Length: 10',
  'Content-Length: 0',
  'Transfer-Encoding: chunked',
  'Content-Encoding: gzip',
  'Content-Range: bytes 0-9/100',
  'Content-Range: bytes 5-14/100',
  `Docker-Content-Digest: ${DIGEST}`,
  'Docker-Content-Digest: \u0085\u009b',
  'X-Spegel-Peer: the-peer',
  'X-Spegel-Peer: another',
  'Location: /elsewhere',
  'Location: http://%ff@127.0.0.1:1/\u0080',
  'Connection: Upgrade\r\nUpgrade: h2c',
  'Connection: keep-alive',
  'Content-Type: application/json',
  'Date: Mon, 30 Nov 2026 00:00:00 GMT\u0085',
  'WWW-Authenticate: Bearer realm="http://127.0.0.1:1/token",service="s",scope="repository:a:pull"',
  ' folded: yes',
];
const BODIES = [
  '0123456789',
  '5\r\nhello\r\n0\r\n\r\n',
  'ffffffff\r\n',
  '{"token":"abc"}',
  '{"peers":[{"peerId":"a","router":["1.2.3.4:5001"],"registry":[]}]}',
  '{"peers":[{"peerId":{"toString":1},"router":null}]}',
  'spegel_peers 3\nspegel_identity_conflict{a="b"} 1\n',
  '/ip4/10.1.2.3/tcp/5001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N',
  'spegel cleanup: the settings are gone\n',
  'spegel cleanup: \u001b[2J\u009b there\n',
];
const valid = fc
  .record({
    status: fc.constantFrom(...STATUS),
    fields: fc.shuffledSubarray(FIELDS, { maxLength: 5 }),
    body: fc.constantFrom(...BODIES),
  })
  .map(({ status, fields, body }) => {
    const head = [`HTTP/1.1 ${status}`, ...fields, '', ''].join('\r\n');
    return Buffer.from(head + body, 'latin1');
  });
const answer = mutatedBytes(valid, ['\r\n', '\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n', ': ', ',', '-']);

let now: readonly Uint8Array[] = [];
const sockets = new Set<Socket>();
const server = createServer((socket) => {
  sockets.add(socket);
  socket.on('close', () => sockets.delete(socket));
  socket.on('error', () => {});
  socket.setNoDelay(true);
  socket.once('data', async () => {
    for (const piece of now) {
      socket.write(piece);
      await turn();
    }
    socket.end();
  });
}).listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;
const address = `127.0.0.1:${port}`;
const url = `http://${address}`;
after(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
});

/**
 * The outcome while the server answers with these bytes; fails where none comes of an answer that
 * has ended.
 */
async function outcome<T>(
  said: readonly Uint8Array[],
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T | Error> {
  now = said;
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const hung = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('it hangs')), HANG_MS);
  });
  const asked = ask(late.signal).catch((error: unknown) => {
    assert.ok(error instanceof Error);
    return error;
  });
  try {
    return await Promise.race([asked, hung]);
  } finally {
    clearTimeout(timer);
    late.abort(new Error('over'));
  }
}

const buffers = new BufferPool({ largeBytes: 65_536, smallBytes: 4_096, maxLarge: 4 });

/** What a peer's answer comes to: its head and body, or the kind of its failure. */
async function ofPeer(said: readonly Uint8Array[]): Promise<string> {
  const lane = { peerId: 'the-peer', address };
  // Its own connections: what came of the last input's answer is not this one's.
  const connections = new PeerConnections(buffers);
  const asker = { connections, networkKeys: undefined };
  const question = { method: 'GET', path: '/v2/a/blobs/b?ns=c' } as const;
  const found = await outcome(said, async (signal) => {
    const { head, exchange } = await askPeer(lane, question, asker, signal);
    const body: Buffer[] = [];
    let failure = '';
    try {
      // The body of another status is not read.
      const isRead = head.status === 200 || head.status === 206;
      for (let piece = isRead ? await exchange.next() : undefined; piece !== undefined; ) {
        body.push(Buffer.from(piece));
        piece = await exchange.next();
      }
    } catch (error) {
      assert.ok(error instanceof PeerFailure);
      failure = error.kind;
    } finally {
      exchange.close();
    }
    const bytes = Buffer.concat(body);
    assert.ok(bytes.length <= head.contentLength);
    if (failure === '' && (head.status === 200 || head.status === 206))
      assert.equal(bytes.length, head.contentLength);
    return `${head.status} ${head.contentLength} ${bytes.toString('hex')} ${failure}`;
  });
  connections.close();
  if (!(found instanceof Error)) return found;
  assert.ok(found instanceof PeerFailure);
  assertTellable(found.message);
  return found.kind;
}

/** A text with what others said in it, as it gets into logs, errors and answers to containerd. */
function assertTellable(text: string): void {
  assert.doesNotMatch(text, CONTROL);
  assert.ok(text.length < 1_000, `${text.length} characters`);
}

const client = clientWith();
const upstream = endpoint(address);

const challenge = mutatedText(
  fc.constantFrom(
    'Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull"',
    'bearer realm=https://auth.example/token , error="invalid_token"',
    'Basic realm="a"',
  ),
  ['"', '\\"', 'realm="', '=', ',', 'bearer '],
);

fuzz(import.meta.filename, [
  fuzzer(
    'a peer: cuts do not change what its answer comes to, and it is no more than was promised',
    fc.tuple(answer, cuts),
    async ([bytes, at]) => {
      const whole = await ofPeer([bytes]);
      // The head is there or not; bytes of the body that came before a cut may come alone.
      assert.equal(await ofPeer(pieces(bytes, at)), whole);
    },
  ),

  fuzzer(
    'heads of peers: what they promise is what was asked for, or a PeerFailure',
    fc.tuple(mutatedBytes(valid), fc.constantFrom('bytes=0-9', 'bytes=5-', 'bytes=-10', '')),
    ([bytes, range]) => {
      const head = parseResponseHead(bytes.subarray(0, bytes.indexOf('\r\n\r\n')));
      if (head === undefined) return;
      for (const check of [
        () => {
          const { size, range: part } = checkBlob(head, parseRange(range), undefined);
          assert.ok(part.start >= 0 && part.start <= part.end && part.end <= size);
          assert.equal(part.end - part.start, head.contentLength);
        },
        () => assert.match(checkManifest(head, undefined), /^sha256:[0-9a-f]{64}$/),
      ]) {
        try {
          check();
        } catch (error) {
          if (!(error instanceof PeerFailure)) throw error;
          assertTellable(error.message);
        }
      }
    },
  ),

  fuzzer('getPage: a page, or an Error, as soon as the answer has ended', answer, async (bytes) => {
    const settings = { timeoutMs: 2 * HANG_MS, maxBytes: 256 * 1024 };
    const page = await outcome([bytes], (signal) => getPage(`${url}/id`, settings, signal));
    if (page instanceof Error) return;
    assert.equal(page.ip, '127.0.0.1');
    try {
      for (const found of parsePeerInfo(page.text, page.ip, 5001)) assertTellable(found);
    } catch (error) {
      assert.match(String(error), /expected a multiaddr, or JSON/);
    }
  }),

  fuzzer('probe: it never rejects, and gives a line that may be printed', answer, async (bytes) => {
    const where = { host: '127.0.0.1', port };
    const reason = await outcome([bytes], (signal) => probe(where, '/', signal));
    assert.ok(!(reason instanceof Error));
    if (reason !== undefined) assertTellable(reason);
  }),

  fuzzer(
    'an upstream registry: an answer, or an UpstreamFailure, as soon as the answer has ended',
    answer,
    async (bytes) => {
      for (const method of ['GET', 'HEAD'] as const) {
        const found = await outcome([bytes], (signal) =>
          client.ask(upstream, { method, path: '/v2/' }, signal),
        );
        if (found instanceof Error) assert.ok(found instanceof UpstreamFailure, String(found));
        else assert.ok(found.body.length <= 64 * 1024);
      }
      const realm = { realm: new URL(url), service: undefined, scope: undefined };
      const token = await outcome([bytes], (signal) =>
        anonymousToken(client, upstream, realm, 'a', signal),
      );
      if (token instanceof Error) assert.ok(token instanceof UpstreamFailure, String(token));
      else if (token !== undefined) assert.doesNotMatch(token, /\s|[^\x20-\x7e]/);
    },
  ),

  fuzzer('parseChallenge: undefined, or the URL of a token', challenge, (header) => {
    const found = parseChallenge(header);
    if (found !== undefined) assert.match(found.realm.protocol, /^https?:$/);
  }),

  fuzzer(
    'a daemon of this host: a look, or an Error, as soon as the answer has ended',
    answer,
    async (bytes) => {
      const look = await outcome([bytes], (signal) =>
        readDaemonStatus({ host: '127.0.0.1', port }, signal),
      );
      if (!(look instanceof Error)) for (const { peerId } of look.met) assertTellable(peerId);
      await outcome([bytes], (signal) => peerAtRegistry(`${url}/v2/`, signal));
    },
  ),
]);
