import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { RACE_HEDGE_BOUND_MS } from '../../lib/mirror/constants.ts';
import { digestOf } from '../../lib/oci/digest.ts';
import { goodHead, serve, startPeer } from './raw-peer.ts';
import {
  assertSame,
  blob,
  blobPath,
  manifestOf,
  manifestPath,
  type Node,
  startNode,
} from './support.ts';

const MIB = 1024 * 1024;
/** Resolve timeout and hedge, with slack for a busy machine. */
const MISS_MS = 200 + RACE_HEDGE_BOUND_MS + 600;

type Act = (socket: Socket, head: string) => void;

/** Peers that never give anything useful, whatever is asked of them. */
const USELESS: Record<string, Act> = {
  silence: () => {},
  'reset before the head': (socket) => socket.resetAndDestroy(),
  'end before the head': (socket) => socket.end(),
  garbage: (socket) => socket.write('\x00\xff\x13garbage\r\n\r\n'),
  'an SSH server': (socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n'),
  'half a head': (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Le'),
  'a giant head': (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    for (let at = 0; at < 100; at += 1) socket.write(`X-${at}: ${'a'.repeat(1_000)}\r\n`);
  },
  'a slow head': (socket) => {
    const drip = setInterval(() => socket.write('H'), 20);
    socket.on('close', () => clearInterval(drip));
  },
  'a flood of 1xx': (socket) => {
    const flood = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'), 5);
    socket.on('close', () => clearInterval(flood));
  },
  'a redirect': (socket) => {
    socket.end('HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n');
  },
  'a demand for credentials': (socket) => {
    const head =
      'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n';
    socket.end(head);
  },
  'no length': (socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nbytes'),
  chunks: (socket) => {
    socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n');
  },
  gzip: (socket) => {
    socket.end('HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc');
  },
  'a head without a body': (socket) => socket.write(goodHead(5 * MIB)),
  'status 206 unasked': (socket) => {
    socket.end('HTTP/1.1 206 P\r\nContent-Length: 3\r\nContent-Range: bytes 0-2/9\r\n\r\nabc');
  },
  'another host': (socket) => {
    socket.end('HTTP/1.1 200 OK\r\nX-Spegel-Peer: somebody\r\nContent-Length: 3\r\n\r\nabc');
  },
};

async function get(
  node: Node,
  path: string,
): Promise<{ status: number; body: Buffer; ms: number }> {
  const startedAt = performance.now();
  const response = await fetch(`${node.url}${path}`, { redirect: 'manual' });
  assert.equal(response.headers.get('www-authenticate'), null);
  assert.equal(response.headers.get('location'), null);
  const ms = performance.now() - startedAt;
  return { status: response.status, body: Buffer.from(await response.arrayBuffer()), ms };
}

async function nodeWith(t: TestContext, ...acts: Act[]): Promise<Node> {
  const node = await startNode((stop) => t.after(stop));
  const peers = await Promise.all(acts.map((act) => startPeer((stop) => t.after(stop), act)));
  node.router.candidates = peers;
  return node;
}

for (const [name, act] of Object.entries(USELESS)) {
  test(`${name}: nothing of it reaches containerd, the 404 is in time`, async (t) => {
    const { digest } = blob(10);
    const node = await nodeWith(t, act);
    for (const path of [blobPath(digest), manifestPath(digest), manifestPath('v1')]) {
      const { status, body, ms } = await get(node, path);
      assert.equal(status, 404);
      const [error] = JSON.parse(body.toString()).errors;
      assert.match(error.code, /^(?:BLOB|MANIFEST)_UNKNOWN$/);
      assert.ok(ms < MISS_MS, `${ms} ms`);
    }
  });

  test(`${name}: the live peer behind it is found`, async (t) => {
    const { bytes, digest } = blob(3 * MIB);
    const manifest = manifestOf([bytes]);
    const node = await nodeWith(t, act, act, act, (socket, head) => {
      serve(head.includes('/blobs/') ? bytes : manifest)(socket, head);
    });
    const found = await get(node, blobPath(digest));
    assert.equal(found.status, 200);
    assert.ok(found.ms < MISS_MS, `${found.ms} ms`);
    assertSame(found.body, bytes);
    const again = await get(node, manifestPath(digestOf(manifest)));
    assertSame(again.body, manifest);
  });
}

test('a manifest with wrong bytes is replaced, and its sender is not asked again', async (t) => {
  const manifest = manifestOf([Buffer.from('layer')]);
  const node = await startNode((stop) => t.after(stop));
  const liar = await startPeer((stop) => t.after(stop), serve(Buffer.from('{"schemaVersion":2}')));
  const honest = await startPeer((stop) => t.after(stop), serve(manifest));
  node.router.candidates = [liar, honest];
  for (let count = 0; count < 2; count += 1) {
    const { body } = await get(node, manifestPath(digestOf(manifest)));
    assertSame(body, manifest);
  }
  assert.equal(liar.requests.length, 1);
});

test('a small blob with wrong bytes is replaced before its first byte', async (t) => {
  const { bytes, digest } = blob(10_000);
  const wrong = blob(10_000).bytes;
  const node = await startNode((stop) => t.after(stop));
  const liar = await startPeer((stop) => t.after(stop), serve(wrong));
  const empty = await startPeer((stop) => t.after(stop), serve(Buffer.alloc(0)));
  const honest = await startPeer((stop) => t.after(stop), serve(bytes));
  node.router.candidates = [liar, empty, honest];
  assertSame((await get(node, blobPath(digest))).body, bytes);
  assertSame((await get(node, blobPath(digest))).body, bytes);
  assert.equal(liar.requests.length, 1);
});

for (const [name, length] of Object.entries({ short: 3 * MIB - 1, long: 3 * MIB + 1 })) {
  test(`a blob that is too ${name} for its manifest is refused before its first byte`, async (t) => {
    const { bytes, digest } = blob(3 * MIB);
    const manifest = manifestOf([bytes]);
    const node = await startNode((stop) => t.after(stop));
    const manifests = await startPeer((stop) => t.after(stop), serve(manifest));
    node.router.candidates = [manifests];
    await get(node, manifestPath(digestOf(manifest)));
    const lie = Buffer.concat([bytes, Buffer.alloc(1)]).subarray(0, length);
    const liar = await startPeer((stop) => t.after(stop), serve(lie));
    const honest = await startPeer((stop) => t.after(stop), serve(bytes));
    node.router.candidates = [liar, honest];
    assertSame((await get(node, blobPath(digest))).body, bytes);
    assert.equal(liar.requests.length, 1);
  });
}

test('the sizes of a manifest that came from the upstream are known as well', async (t) => {
  const { bytes, digest } = blob(3 * MIB);
  const manifest = manifestOf([bytes]);
  const node = await startNode((stop) => t.after(stop));
  assert.equal((await get(node, manifestPath(digestOf(manifest)))).status, 404);
  node.store.add(manifest);
  const liar = await startPeer(
    (stop) => t.after(stop),
    (socket) => {
      socket.write(goodHead(1e12));
      socket.write(Buffer.alloc(MIB));
    },
  );
  const honest = await startPeer((stop) => t.after(stop), serve(bytes));
  node.router.candidates = [liar, honest];
  assertSame((await get(node, blobPath(digest))).body, bytes);
});

test('an endless body gives its promised length and no more', async (t) => {
  const { bytes, digest } = blob(2 * MIB);
  const node = await nodeWith(t, (socket) => {
    socket.write(goodHead(bytes.byteLength));
    socket.write(bytes);
    const more = () => socket.write(Buffer.alloc(65_536));
    socket.on('drain', more);
    more();
  });
  assertSame((await get(node, blobPath(digest))).body, bytes);
});

test('a wrong answer to a range is refused', async (t) => {
  const { bytes, digest } = blob(3 * MIB);
  const size = bytes.byteLength;
  const node = await startNode((stop) => t.after(stop));
  const lies = [
    goodHead(size),
    `HTTP/1.1 206 P\r\nContent-Length: ${size - 6}\r\nContent-Range: bytes 6-${size - 1}/${size}\r\n\r\n`,
    `HTTP/1.1 206 P\r\nContent-Length: 9\r\nContent-Range: bytes 5-${size - 1}/${size}\r\n\r\n`,
    `HTTP/1.1 206 P\r\nContent-Length: ${size - 5}\r\n\r\n`,
  ];
  const liars = lies.map((lie) =>
    startPeer(
      (stop) => t.after(stop),
      (socket) => socket.end(`${lie}abc`),
    ),
  );
  const honest = await startPeer((stop) => t.after(stop), serve(bytes));
  node.router.candidates = [...(await Promise.all(liars)), honest];
  const headers = { Range: 'bytes=5-' };
  const response = await fetch(`${node.url}${blobPath(digest)}`, { headers });
  assert.equal(response.status, 206);
  assert.equal(response.headers.get('content-range'), `bytes 5-${size - 1}/${size}`);
  assertSame(Buffer.from(await response.arrayBuffer()), bytes.subarray(5));
});
