import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { delay } from '../../lib/base/abortable.ts';
import { RACE_HEDGE_AFTER_MS, RACE_HEDGE_BOUND_MS } from '../../lib/mirror/constants.ts';
import { digestOf } from '../../lib/oci/digest.ts';
import type { Candidate } from '../../lib/routing/router.ts';
import { block } from '../support/block.ts';
import { serve, startPeer } from './raw-peer.ts';
import { assertSame, blob, blobPath, type Node, startNode } from './support.ts';

const MIB = 1024 * 1024;
const SLACK_MS = 600;

async function timedGet(node: Node, path: string) {
  const startedAt = performance.now();
  const response = await fetch(`${node.url}${path}`);
  const ms = performance.now() - startedAt;
  return { status: response.status, body: Buffer.from(await response.arrayBuffer()), ms };
}

const refuse = (socket: Socket) => socket.end('HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n');

/** An address where nobody listens. */
const unreachable = (count: number): Candidate[] =>
  Array.from({ length: count }, (_, at) => ({
    peerId: `closed-${at}`,
    addresses: [`127.0.0.1:${at + 1}`],
  }));

/** A listening process that is stopped: the kernel accepts a few connections, then drops SYNs. */
async function frozenProcess(t: TestContext): Promise<string> {
  const script =
    "require('net').createServer(()=>{}).listen(0,'127.0.0.1',2,function(){console.log(this.address().port)})";
  const child: ChildProcess = spawn(process.execPath, ['-e', script]);
  t.after(() => {
    child.kill('SIGKILL');
  });
  const port = await new Promise<string>((resolve) => {
    child.stdout?.once('data', (data) => resolve(String(data).trim()));
  });
  child.kill('SIGSTOP');
  return `127.0.0.1:${port}`;
}

/**
 * Fills the accept queue of a frozen process: from then on connecting hangs as it does to an
 * unplugged host.
 */
async function fillBacklog(t: TestContext, address: string): Promise<void> {
  const [host = '', port] = address.split(':');
  for (let count = 0; count < 16; count += 1) {
    const socket = connect({ host, port: Number(port) });
    socket.on('error', () => {});
    t.after(() => socket.destroy());
    const isConnected = await Promise.race([
      new Promise<boolean>((resolve) => {
        socket.on('connect', () => resolve(true));
      }),
      delay(200).then(() => false),
    ]);
    if (!isConnected) return;
  }
  throw new Error('the accept queue never fills');
}

test('no peer announces it: the 404 is there as soon as the lookup ends', async (t) => {
  const node = await startNode((stop) => t.after(stop), { resolveTimeoutMs: 5_000 });
  const { status, ms } = await timedGet(node, blobPath(blob(1).digest));
  assert.equal(status, 404);
  assert.ok(ms < 1_000, `${ms} ms`);
});

test('a lookup that goes on for ever costs the resolve timeout', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  node.router.lingerMs = 60_000;
  const { status, ms } = await timedGet(node, blobPath(blob(1).digest));
  assert.equal(status, 404);
  assert.ok(ms >= 190 && ms < 200 + SLACK_MS, `${ms} ms`);
});

test('one live peer behind fourteen silent ones is found', async (t) => {
  const { bytes, digest } = blob(2 * MIB);
  const node = await startNode((stop) => t.after(stop));
  const silent = Array.from({ length: 14 }, () =>
    startPeer(
      (stop) => t.after(stop),
      () => {},
    ),
  );
  const live = await startPeer((stop) => t.after(stop), serve(bytes));
  node.router.candidates = [...(await Promise.all(silent)), live];
  const { body, ms } = await timedGet(node, blobPath(digest));
  assertSame(body, bytes);
  assert.ok(ms < 200 + RACE_HEDGE_BOUND_MS + SLACK_MS, `${ms} ms`);
});

test('one live peer behind forty closed ports is found at once', async (t) => {
  const { bytes, digest } = blob(2 * MIB);
  const node = await startNode((stop) => t.after(stop));
  const live = await startPeer((stop) => t.after(stop), serve(bytes));
  node.router.candidates = [...unreachable(40), live];
  assertSame((await timedGet(node, blobPath(digest))).body, bytes);
  // The router hears of them, so that the dead are not offered for ever.
  assert.ok(node.router.suspected.includes('closed-0'));
  assert.ok(!node.router.suspected.includes(live.peerId));
});

test('stopped processes and black holes: the fourth peer answers', async (t) => {
  const { bytes, digest } = blob(2 * MIB);
  const node = await startNode((stop) => t.after(stop));
  const [frozen, hole] = await Promise.all([frozenProcess(t), frozenProcess(t)]);
  await fillBacklog(t, hole);
  const live = await startPeer((stop) => t.after(stop), serve(bytes));
  node.router.candidates = [
    { peerId: 'frozen', addresses: [frozen] },
    { peerId: 'hole', addresses: [hole] },
    { peerId: 'hole-2', addresses: [hole] },
    live,
  ];
  const { body, ms } = await timedGet(node, blobPath(digest));
  assertSame(body, bytes);
  assert.ok(ms < 200 + RACE_HEDGE_BOUND_MS + SLACK_MS, `${ms} ms`);
});

test('only stopped processes and black holes: 404 in time', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const hole = await frozenProcess(t);
  await fillBacklog(t, hole);
  node.router.candidates = [
    { peerId: 'hole', addresses: [hole] },
    { peerId: 'hole-2', addresses: [hole] },
  ];
  const { status, ms } = await timedGet(node, blobPath(blob(1).digest));
  assert.equal(status, 404);
  assert.ok(ms < 200 + RACE_HEDGE_BOUND_MS + SLACK_MS, `${ms} ms`);
});

/** A peer with a process of its own, which answers any request with `size` zeros after 200 ms. */
async function peerProcess(t: TestContext, peerId: string, size: number) {
  const script = `require('net').createServer(c=>c.on('error',()=>{}).once('data',()=>{
    console.log('asked');
    setTimeout(()=>c.end('HTTP/1.1 200 OK\\r\\nContent-Length: ${size}\\r\\n\\r\\n'+'\\0'.repeat(${size})),200)
  })).listen(0,'127.0.0.1',function(){console.log(this.address().port)})`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [port] = await once(child.stdout, 'data');
  const asked = once(child.stdout, 'data');
  return { peerId, addresses: [`127.0.0.1:${String(port).trim()}`], asked };
}

test('peers that answered while this process was busy are not found guilty', async (t) => {
  const bytes = Buffer.alloc(2 * MIB);
  const node = await startNode((stop) => t.after(stop));
  const first = await peerProcess(t, 'first', bytes.byteLength);
  const second = await peerProcess(t, 'second', bytes.byteLength);
  node.router.candidates = [first, second];
  const got = timedGet(node, blobPath(digestOf(bytes)));
  await Promise.all([first.asked, second.asked]);
  block(200 + RACE_HEDGE_BOUND_MS + 250);
  assertSame((await got).body, bytes);
  assert.deepEqual(node.router.suspected, []);
});

test('a healthy peer is asked alone', async (t) => {
  const { bytes, digest } = blob(2 * MIB);
  const node = await startNode((stop) => t.after(stop));
  const all = await Promise.all(
    [1, 2, 3].map(() => startPeer((stop) => t.after(stop), serve(bytes))),
  );
  node.router.candidates = all;
  await timedGet(node, blobPath(digest));
  assert.ok(all.reduce((sum, peer) => sum + peer.requests.length, 0) <= 2);
  assert.equal(all[0]?.requests.length, 1);
});

test('three refusals end the search, two do not, and the peers stay welcome', async (t) => {
  const { bytes, digest } = blob(2 * MIB);
  // Long, so that only refusals can end the search before the live peer is named.
  const node = await startNode((stop) => t.after(stop), { resolveTimeoutMs: 5_000 });
  const live = await startPeer((stop) => t.after(stop), serve(bytes));
  const no = await Promise.all([1, 2, 3].map(() => startPeer((stop) => t.after(stop), refuse)));
  let first: Candidate[] = no;
  node.router.lookup = async function* (_key, signal) {
    yield* first;
    await delay(2_000, signal).catch(() => {});
    if (!signal.aborted) yield live;
  };
  const refused = await timedGet(node, blobPath(digest));
  assert.equal(refused.status, 404);
  assert.ok(refused.ms < 2_000);
  first = no.slice(0, 2);
  assert.equal((await timedGet(node, blobPath(digest))).status, 200);
  assert.equal(no[0]?.requests.length, 2);
});

test('a dead peer is left out of the next requests', async (t) => {
  const { bytes, digest } = blob(2 * MIB);
  const node = await startNode((stop) => t.after(stop));
  const dead = await startPeer(
    (stop) => t.after(stop),
    (socket) => socket.resetAndDestroy(),
  );
  const live = await startPeer((stop) => t.after(stop), serve(bytes));
  node.router.candidates = [dead, live];
  for (let count = 0; count < 3; count += 1) await timedGet(node, blobPath(digest));
  assert.equal(dead.requests.length, 1);
  assert.equal(live.requests.length, 3);
});

test('a peer that was overtaken is not waited for again', async (t) => {
  const { bytes, digest } = blob(2 * MIB);
  const node = await startNode((stop) => t.after(stop));
  const slow = await startPeer(
    (stop) => t.after(stop),
    () => {},
  );
  const live = await startPeer((stop) => t.after(stop), serve(bytes));
  node.router.candidates = [slow, live];
  const first = await timedGet(node, blobPath(digest));
  assert.ok(first.ms >= RACE_HEDGE_AFTER_MS - 5);
  const firstRequests = live.requests.length;
  await timedGet(node, blobPath(digest));
  assert.equal(live.requests.length, firstRequests + 1);
});

test("a peer's second address is asked when its first is another host, closed or silent", async (t) => {
  const { bytes, digest } = blob(2 * MIB);
  const provider = await startNode((stop) => t.after(stop));
  provider.store.add(bytes);
  const stranger = await startNode((stop) => t.after(stop));
  const silent = await startPeer(
    (stop) => t.after(stop),
    () => {},
  );
  for (const first of [stranger.address, '127.0.0.1:1', silent.address]) {
    const node = await startNode((stop) => t.after(stop));
    node.router.candidates = [{ peerId: provider.peerId, addresses: [first, provider.address] }];
    assertSame((await timedGet(node, blobPath(digest))).body, bytes);
  }
});

test('a router that throws is a miss', async (t) => {
  const node = await startNode((stop) => t.after(stop));
  const broken: AsyncIterator<Candidate> = { next: () => Promise.reject(new Error('broken')) };
  node.router.lookup = () => ({ [Symbol.asyncIterator]: () => broken }) as never;
  assert.equal((await timedGet(node, blobPath(blob(1).digest))).status, 404);
});

test('peers are asked as Go Spegel asks them', async (t) => {
  const { bytes, digest } = blob(2 * MIB);
  const node = await startNode((stop) => t.after(stop));
  const peer = await startPeer((stop) => t.after(stop), serve(bytes));
  node.router.candidates = [peer];
  await timedGet(node, blobPath(digest));
  const [head = ''] = peer.requests;
  assert.match(
    head,
    /^GET \/v2\/test\/app\/blobs\/sha256:[0-9a-f]{64}\?ns=example\.com HTTP\/1\.1\r\n/,
  );
  assert.match(head, /^User-Agent: spegel/m);
  assert.match(head, /^X-Spegel-Mirrored: true\r$/m);
  assert.doesNotMatch(head, /^Range:/m);
});
