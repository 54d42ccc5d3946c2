/** A network closed by a key, as HTTP between hosts shows it: real registries, real sockets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createLogger, type Logger } from '../../lib/base/log.ts';
import { networkKey } from '../../lib/network-key/network-key.ts';
import { proofOf, signRequest } from '../../lib/network-key/signature.ts';
import { follow, get, grow, startInflightNode } from '../mirror/inflight-support.ts';
import { startPeer } from '../mirror/raw-peer.ts';
import {
  assertSame,
  blob,
  blobPath,
  MemoryStore,
  manifestOf,
  manifestPath,
  type NodeOptions,
  startNode,
} from '../mirror/support.ts';
import { keyBytes, TestKeys } from '../support/network-keys.ts';

const [KEY, OTHER] = [1, 2];
const KEY_OF_ALL = networkKey(keyBytes(KEY));
const MIRRORED = { 'X-Spegel-Mirrored': 'true' };
const TAG = 'example.com/test/app:v1';
const manifest = manifestOf([Buffer.from('config'), Buffer.from('layer')]);

/** Counts the connections to it. */
class WatchedStore extends MemoryStore {
  asked = 0;

  override resolve(reference: string) {
    this.asked += 1;
    return super.resolve(reference);
  }

  override source(digest: Parameters<MemoryStore['source']>[0]) {
    this.asked += 1;
    return super.source(digest);
  }
}

function remembering(): { log: Logger; warnings: () => Record<string, unknown>[] } {
  const lines: string[] = [];
  const log = createLogger('WARN', (line) => lines.push(line));
  return { log, warnings: () => lines.map((line) => JSON.parse(line)) };
}

function closed(...seeds: [number, ...number[]]): Pick<NodeOptions, 'networkKeys'> {
  return { networkKeys: new TestKeys(...seeds) };
}

test('a client other than this host’s containerd needs a signature', async (t) => {
  const store = new WatchedStore();
  const { log, warnings } = remembering();
  const node = await startNode((stop) => t.after(stop), { ...closed(KEY), store, log });
  const { bytes, digest } = blob(1_000);
  store.add(bytes);
  const path = blobPath(digest);
  const request = { method: 'GET', path };
  const signed = (key: number, now?: number) => ({
    ...MIRRORED,
    'X-Spegel-Signature': signRequest(networkKey(keyBytes(key)), request, now),
  });
  const refused: [RegExp, Record<string, string>][] = [
    [/no signature of the network key/, MIRRORED],
    [/another network key/, signed(OTHER)],
    [
      /the clocks differ too much: signed at .*Z, it is .*Z here/,
      signed(KEY, Date.now() - 400_000),
    ],
    [/malformed/, { ...MIRRORED, 'X-Spegel-Signature': 'v1 now please' }],
  ];
  for (const [reason, headers] of refused) {
    const response = await fetch(node.url + path, { headers });
    assert.equal(response.status, 403);
    const { errors } = (await response.json()) as { errors: { code: string; message: string }[] };
    assert.equal(errors[0]?.code, 'DENIED');
    assert.match(errors[0]?.message ?? '', reason);
  }
  const other = await fetch(`${node.url}/v2/`, { headers: signed(KEY) });
  assert.equal(other.status, 403, 'the signature is of another path');
  assert.equal(store.asked, 0, 'the store was touched');
  assert.equal(warnings().length, 1, 'one line for this address');
  assert.match(String(warnings()[0]?.reason), /no signature/);
  for (const probe of ['/livez', '/readyz']) {
    assert.equal((await fetch(node.url + probe, { headers: MIRRORED })).status, 200);
  }
  assertSame(
    Buffer.from(await (await fetch(node.url + path, { headers: signed(KEY) })).arrayBuffer()),
    bytes,
  );
  assertSame(Buffer.from(await (await fetch(node.url + path)).arrayBuffer()), bytes);
});

test('without the header of a peer a foreign address needs a signature, too', async (t) => {
  const own = { has: () => false };
  const node = await startNode((stop) => t.after(stop), { ...closed(KEY), own });
  for (const [method, path] of [
    ['GET', '/v2/'],
    ['POST', '/v2/'],
    ['GET', '/elsewhere'],
  ] as const) {
    assert.equal((await fetch(node.url + path, { method })).status, 403, path);
  }
});

test('an open network gives a private image to any client that names it, by tag or digest; a closed one does not', async (t) => {
  const { bytes, digest } = blob(1_000);
  for (const [keys, status] of [
    [{}, 200],
    [closed(KEY), 403],
  ] as const) {
    // Another host's address, and no password.
    const node = await startNode((stop) => t.after(stop), { ...keys, own: { has: () => false } });
    node.store.add(bytes);
    const named = node.store.add(manifest);
    node.store.tags.set(TAG, named);
    for (const path of [manifestPath('v1'), manifestPath(named), blobPath(digest)]) {
      const response = await fetch(node.url + path, { headers: MIRRORED });
      await response.arrayBuffer();
      assert.equal(response.status, status, path);
    }
  }
});

test('hosts with a key in common share, in each state of a rotation', async (t) => {
  const states: [number, ...number[]][] = [[KEY], [KEY, OTHER], [OTHER, KEY], [OTHER]];
  const { bytes, digest } = blob(100_000);
  const nodes = await Promise.all(
    states.map((keys) =>
      startNode((stop) => t.after(stop), { ...closed(...keys), resolveTimeoutMs: 1_000 }),
    ),
  );
  for (const [i, provider] of nodes.entries()) {
    provider.store.add(bytes);
    provider.store.tags.set(TAG, provider.store.add(manifest));
    for (const j of [i - 1, i + 1]) {
      const node = nodes[j];
      if (node === undefined) continue;
      node.store.content.clear();
      node.store.tags.clear();
      node.router.candidates = [provider.candidate];
      assertSame((await get(node.url + blobPath(digest))).bytes, bytes);
      assertSame((await get(node.url + manifestPath('v1'))).bytes, manifest);
      assert.equal((await fetch(node.url + blobPath(digest), { method: 'HEAD' })).status, 200);
    }
  }
});

test('peers that deny cost a pull no time, do not hide one that serves, and are logged once', async (t) => {
  const { log, warnings } = remembering();
  const { bytes, digest } = blob(100_000);
  const options = { ...closed(KEY), log, resolveTimeoutMs: 2_000 };
  const node = await startNode((stop) => t.after(stop), options);
  const deniers = await Promise.all(
    [1, 2, 3, 4, 5].map(() => startNode((stop) => t.after(stop), closed(OTHER))),
  );
  for (const { store } of deniers) store.add(bytes);
  const denying = deniers.map(({ candidate }) => candidate);
  node.router.candidates = denying;
  const miss = await get(node.url + blobPath(digest));
  assert.equal(miss.status, 404);
  assert.ok(miss.ms < 1_000, `a miss took ${miss.ms} ms`);
  const provider = await startNode((stop) => t.after(stop), closed(KEY));
  provider.store.add(bytes);
  // More peers deny than may refuse before the upstream is asked: a denial does not say that the
  // content is not there.
  const fresh = await startNode((stop) => t.after(stop), closed(KEY));
  for (const { router } of [node, fresh]) router.candidates = [...denying, provider.candidate];
  assertSame((await get(fresh.url + blobPath(digest))).bytes, bytes);
  for (let pull = 0; pull < 3; pull += 1) {
    const found = await get(node.url + blobPath(digest));
    assert.ok(found.ms < 1_000, `it took ${found.ms} ms`);
    assertSame(found.bytes, bytes);
  }
  assert.equal(warnings().length, denying.length);
  assert.match(
    String(warnings()[0]?.message),
    /status 403: its network key is another, or its clock/,
  );
});

test('no peer without the key may say what a tag means', async (t) => {
  const node = await startNode((stop) => t.after(stop), {
    ...closed(KEY),
    resolveTimeoutMs: 1_000,
  });
  const digest = new MemoryStore().add(manifest);
  const stale = proofOf(KEY_OF_ALL, signRequest(KEY_OF_ALL, { method: 'GET', path: '/' }), digest);
  const proofs = ['', `X-Spegel-Proof: ${'0'.repeat(64)}\r\n`, `X-Spegel-Proof: ${stale}\r\n`];
  const impostors = await Promise.all(
    proofs.map((proof) =>
      startPeer(
        (stop) => t.after(stop),
        (socket) => {
          const head = `HTTP/1.1 200 OK\r\nContent-Length: ${manifest.byteLength}\r\n`;
          socket.end(`${head}Docker-Content-Digest: ${digest}\r\n${proof}\r\n${manifest}`);
        },
      ),
    ),
  );
  for (const impostor of impostors) {
    node.router.candidates = [impostor];
    assert.equal((await get(node.url + manifestPath('v1'))).status, 404);
    assert.equal(impostor.requests.length, 1);
  }
  // Content that is asked for by its digest proves itself, from any peer.
  const last = await startPeer(
    (stop) => t.after(stop),
    (socket) => {
      socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${manifest.byteLength}\r\n\r\n${manifest}`);
    },
  );
  node.router.candidates = [last];
  assert.equal((await get(node.url + manifestPath(digest))).status, 200);
});

test('a peer that is still getting the content is asked with a signature whether it lives', async (t) => {
  const { bytes, digest } = blob(1_000_000);
  const { log, warnings } = remembering();
  const leader = await startInflightNode((stop) => t.after(stop), { ...closed(KEY), log });
  leader.tracker.answer = () => ({ role: 'lead' });
  assert.equal((await fetch(leader.url + blobPath(digest))).status, 404);
  const download = leader.inflight.begin(digest, bytes.byteLength);
  const node = await startInflightNode((stop) => t.after(stop), {
    ...closed(KEY),
    inflightWaitMs: 5_000,
  });
  node.tracker.answer = () => follow([leader.candidate]);
  const asking = get(node.url + blobPath(digest));
  await grow(download, bytes, { until: 500_000 });
  await delay(1_200);
  await grow(download, bytes);
  const { status, bytes: came } = await asking;
  assert.equal(status, 200);
  assert.deepEqual(warnings(), [], 'the leader denied a question');
  assertSame(came, bytes);
});
