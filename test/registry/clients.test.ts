/** Clients on other hosts: which are mirrored, and how many requests at once. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { waitUntil } from '../../lab/processes/exec.ts';
import { createLogger, type Logger, silentLogger } from '../../lib/base/log.ts';
import { parseSubnet } from '../../lib/base/subnet.ts';
import { Clients, type MirrorClients } from '../../lib/registry/clients.ts';
import { get } from '../mirror/inflight-support.ts';
import { goodHead, startPeer } from '../mirror/raw-peer.ts';
import {
  assertSame,
  blob,
  blobPath,
  manifestOf,
  manifestPath,
  type NodeOptions,
  startNode,
  upstreamThere,
} from '../mirror/support.ts';
import { TestKeys } from '../support/network-keys.ts';
import { hostOrNot, messageOf, startForeign } from './clients-support.ts';

const MIB = 1024 * 1024;
const TAG = 'example.com/test/app:v1';
const MIRRORED = { 'X-Spegel-Mirrored': 'true' };

function list(...texts: string[]): MirrorClients {
  return texts.map((text) => parseSubnet(text) ?? assert.fail(text));
}

function remembering(): { log: Logger; lines: (message: string) => Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const log = createLogger('INFO', (line) => lines.push(JSON.parse(line)));
  return { log, lines: (message) => lines.filter(({ msg }) => msg === message) };
}

test('in an open network a client elsewhere is mirrored: manifest, tag, blob, size', async (t) => {
  const provider = await startNode((stop) => t.after(stop));
  const node = await startForeign(t);
  const { bytes, digest } = blob(MIB);
  const manifest = manifestOf([bytes]);
  provider.store.add(bytes);
  provider.store.tags.set(TAG, provider.store.add(manifest));
  node.router.candidates = [provider.candidate];
  assertSame((await get(node.url + manifestPath('v1'))).bytes, manifest);
  assertSame(
    (await get(node.url + manifestPath([...provider.store.tags.values()][0] ?? ''))).bytes,
    manifest,
  );
  assertSame((await get(node.url + blobPath(digest), { Range: 'bytes=0-' })).bytes, bytes);
  assertSame(
    (await get(node.url + blobPath(digest), { Range: 'bytes=9-' })).bytes,
    bytes.subarray(9),
  );
  const head = await fetch(node.url + blobPath(digest), { method: 'HEAD' });
  assert.equal(head.headers.get('content-length'), String(MIB));
  const counted = [...node.metrics.counts.keys()].filter((key) => key.startsWith('mirrorRequests'));
  // This host's containerd never asked for it: another host's names begin no time series.
  const labels = { registry: 'other', cache: 'hit', source: 'external' };
  assert.deepEqual(counted, [`mirrorRequests ${JSON.stringify(labels)}`]);
  const lookups = node.router.lookups;
  for (const path of [blobPath(digest), manifestPath('v1')]) {
    assert.equal((await fetch(node.url + path, { headers: MIRRORED })).status, 404, path);
  }
  assert.equal(node.router.lookups, lookups, 'a peer had this host look further');
});

test('the tag of a client elsewhere means what the upstream says, too', async (t) => {
  const provider = await startNode((stop) => t.after(stop));
  const node = await startForeign(t, { upstream: upstreamThere });
  provider.store.tags.set(TAG, provider.store.add(manifestOf([Buffer.from('a')])));
  node.store.tags.set(TAG, node.store.add(manifestOf([Buffer.from('b')])));
  node.router.candidates = [provider.candidate];
  assert.equal((await fetch(node.url + manifestPath('v1'))).status, 404);
});

test('a client that is not mirrored reads why in the answer, and the administrator in the log', async (t) => {
  const provider = await startNode((stop) => t.after(stop));
  const { bytes, digest } = blob(1_000);
  provider.store.add(bytes);
  const cases: [MirrorClients, RegExp | undefined][] = [
    ['any', undefined],
    ['host', /is not on this host; not mirrored for 127\.0\.0\.1: --mirror-clients is host$/],
    [list('10.0.0.0/8', '::1'), /not mirrored for 127\.0\.0\.1: it is not in --mirror-clients$/],
    [list('10.0.0.0/8', '127.0.0.0/8'), undefined],
    [list('::ffff:127.0.0.1'), undefined],
  ];
  for (const [mirrorClients, reason] of cases) {
    const { log, lines } = remembering();
    const node = await startForeign(t, { mirrorClients, log });
    node.router.candidates = [provider.candidate];
    const path = blobPath(digest);
    const response = await fetch(node.url + path);
    assert.equal(response.status, reason === undefined ? 200 : 404);
    if (reason === undefined) {
      await response.arrayBuffer();
      assert.equal(lines('client not mirrored').length, 0);
      continue;
    }
    assert.match(await messageOf(response), reason);
    assert.match(await messageOf(await fetch(node.url + manifestPath('v1'))), reason);
    const told = lines('client not mirrored');
    assert.equal(told.length, 1, 'one line for this address');
    assert.match(String(told[0]?.reason), /^not mirrored for 127\.0\.0\.1: /);
    node.store.add(bytes);
    assertSame((await get(node.url + path)).bytes, bytes);
  }
});

test('in a closed network a client elsewhere is mirrored when its address is listed', async (t) => {
  const networkKeys = new TestKeys(1);
  const { bytes, digest } = blob(1_000);
  const provider = await startNode((stop) => t.after(stop), { networkKeys });
  provider.store.add(bytes);
  const start = async (options: NodeOptions) => {
    const node = await startForeign(t, { networkKeys, ...options });
    node.router.candidates = [provider.candidate];
    return node;
  };
  const { log, lines } = remembering();
  const closed = await start({ log });
  const denied = await fetch(closed.url + blobPath(digest));
  assert.equal(denied.status, 403);
  assert.match(
    await messageOf(denied),
    /no signature of the network key; not mirrored for 127\.0\.0\.1: --mirror-clients is host/,
  );
  assert.equal(lines('client not mirrored').length, 1);
  for (const mirrorClients of [list('127.0.0.1'), 'any'] as const) {
    const node = await start({ mirrorClients });
    assertSame((await get(node.url + blobPath(digest))).bytes, bytes);
    const asPeer = await fetch(node.url + blobPath(digest), { headers: MIRRORED });
    assert.equal(asPeer.status, 403, 'the header makes it a peer, wherever it is');
  }
});

/**
 * Peers that send half of what they promise and then nothing: requests that are being answered for
 * as long as it takes.
 */
async function startStalled(t: TestContext, bytes: Buffer) {
  return startPeer(
    (stop) => t.after(stop),
    (socket) => {
      socket.write(goodHead(bytes.byteLength));
      socket.write(bytes.subarray(0, bytes.byteLength / 2));
      const timer = setInterval(() => socket.write(bytes.subarray(0, 1)), 200);
      socket.on('close', () => clearInterval(timer));
    },
  );
}

test('one address has 16 requests at once, and those beyond go on at once; the host has as many as it likes', async (t) => {
  const own = hostOrNot();
  const { log, lines } = remembering();
  // A busy machine is no reason for a miss here.
  const node = await startForeign(t, { own, log, resolveTimeoutMs: 10_000 });
  const { bytes, digest } = blob(4 * MIB);
  node.router.candidates = [await startStalled(t, bytes)];
  const path = node.url + blobPath(digest);
  const gone = new AbortController();
  t.after(() => gone.abort());
  const ask = () => fetch(path, { signal: gone.signal });
  const first = await Promise.all(Array.from({ length: 16 }, ask));
  assert.deepEqual([...new Set(first.map(({ status }) => status))], [200]);
  const startedAt = performance.now();
  const beyond = await ask();
  assert.equal(beyond.status, 404);
  assert.ok(performance.now() - startedAt < 2_000, 'it waited for a place');
  assert.match(await messageOf(beyond), /not mirrored for 127\.0\.0\.1: 16 of its requests are/);
  assert.equal(lines('client not mirrored').length, 1);
  own.isHost = true;
  assert.equal((await ask()).status, 200);
  own.isHost = false;
  assert.equal((await ask()).status, 404);
  gone.abort();
  const again = async () => {
    const response = await fetch(path);
    await response.body?.cancel();
    return response.status === 200;
  };
  await waitUntil('what was given up makes room', again);
});

const NOT_A_USER = { isOtherUser: () => false };

test('all clients elsewhere have 32 requests at once, in a closed network, too', () => {
  for (const mirrored of ['any', list('10.0.0.0/8')] as const) {
    const clients = new Clients({ log: silentLogger, own: hostOrNot() }, mirrored);
    const from = (address: string) =>
      clients.enter({ headers: {}, socket: { remoteAddress: address } } as never, NOT_A_USER);
    const visits = Array.from({ length: 32 }, (_, i) => from(`::ffff:10.0.0.${i}`));
    assert.ok(visits.every(({ role }) => role === 'client'));
    const beyond = from('10.0.1.1');
    assert.equal(beyond.role, 'unmirrored');
    assert.equal(beyond.needsKey, false, 'one that is listed needs no key for what is here');
    assert.match(beyond.refusal?.reason ?? '', /32 requests of other hosts are being answered/);
    beyond.release();
    assert.equal(from('10.0.1.1').role, 'unmirrored', 'it had no place to give back');
    visits[0]?.release();
    assert.equal(from('10.0.1.1').role, 'client');
  }
});

test('this host’s containerd is told from others on this host, and from those that say they are it', () => {
  const own = hostOrNot();
  const clients = new Clients({ log: silentLogger, own }, 'any');
  const isIt = (headers: Record<string, string>) =>
    clients.enter({ headers, socket: { remoteAddress: '127.0.0.1' } } as never, NOT_A_USER)
      .isHostsContainerd;
  const containerd = { 'user-agent': 'containerd/2.1.9' };
  assert.equal(isIt(containerd), false);
  own.isHost = true;
  assert.equal(isIt(containerd), true);
  assert.equal(isIt({ ...containerd, 'x-spegel-mirrored': 'true' }), false);
  for (const agent of ['curl/8', 'buildkit/v0.20', 'mycontainerd/1'])
    assert.equal(isIt({ 'user-agent': agent }), false, agent);
  assert.equal(isIt({}), false);
});

test('a user of this host that calls itself containerd is none', () => {
  const own = { has: () => true };
  const headers = { 'user-agent': 'containerd/2.1.9' };
  const request = { headers, socket: { remoteAddress: '127.0.0.1' } } as never;
  for (const isUser of [false, true]) {
    const clients = new Clients({ log: silentLogger, own }, 'any');
    const { role, isHostsContainerd } = clients.enter(request, { isOtherUser: () => isUser });
    assert.deepEqual([role, isHostsContainerd], [isUser ? 'client' : 'host', !isUser]);
  }
});
