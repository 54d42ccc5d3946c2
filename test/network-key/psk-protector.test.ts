import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Libp2p } from '@libp2p/interface';
import { preSharedKey } from '@libp2p/pnet';
import { xsalsa20 } from '@noble/ciphers/salsa.js';
import { connect, startRawNode } from '../../lab/routing/plain-node.ts';
import { createLogger } from '../../lib/base/log.ts';
import { KeyStream } from '../../lib/network-key/key-stream.ts';
import { digestKey, find, startNode, until, untilFound } from '../routing/libp2p/fleet.ts';
import { keyBytes, TestKeys } from '../support/network-keys.ts';

/**
 * How long two nodes that must not meet are watched; those that may meet do within a tenth of it.
 */
const APART_MS = 600;

function swarmKey(seed: number): Buffer {
  return Buffer.from(`/key/swarm/psk/1.0.0/\n/base16/\n${keyBytes(seed).toString('hex')}\n`);
}

/** One node bootstraps from the other, whose content it then finds. */
async function meet(t: TestContext, some: TestKeys, others: TestKeys): Promise<void> {
  const a = await startNode(t, { networkKeys: some });
  const b = await startNode(t, { networkKeys: others, peers: [a.endpoint] });
  a.router.advertise([digestKey(1)]);
  assert.deepEqual((await untilFound(b, digestKey(1))).ids, [a.router.peerId]);
  b.router.advertise([digestKey(2)]);
  assert.deepEqual((await untilFound(a, digestKey(2))).ids, [b.router.peerId]);
  await Promise.all([a.stop(), b.stop()]);
}

test('a stream in pieces is the stream as a whole', () => {
  const [key, nonce] = [keyBytes(1), Buffer.alloc(24, 2)];
  const plain = Buffer.alloc(5_000, 'spegel');
  const expected = Buffer.from(xsalsa20(key, nonce, plain));
  const stream = new KeyStream(key, nonce);
  const pieces: Uint8Array[] = [];
  for (let [at, size] = [0, 0]; at < plain.length; at += size, size = (size * 7 + 1) % 200) {
    pieces.push(stream.xor(plain.subarray(at, at + size)));
  }
  assert.ok(Buffer.concat(pieces).equals(expected));
});

test('nodes find content in each state of a rotation, and in the states beside it', async (t) => {
  const [OLD, NEW] = [1, 2];
  const states = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]] as const;
  const keys = (index: number) => {
    const [first = 0, ...more] = states[index] ?? [];
    return new TestKeys(first, ...more);
  };
  const pairs = states.flatMap((_, i) =>
    states.flatMap((__, j) => (Math.abs(i - j) <= 1 ? [[i, j] as const] : [])),
  );
  await Promise.all(pairs.map(([i, j]) => meet(t, keys(i), keys(j))));
});

for (const [name, stranger] of [
  ['another key', new TestKeys(2)],
  ['no key', undefined],
] as const) {
  test(`nodes with a key and one with ${name} never meet`, async (t) => {
    const lines: string[] = [];
    const log = createLogger('INFO', (line) => lines.push(line));
    const inside = await startNode(t, { networkKeys: new TestKeys(1), log });
    const networkKeys = stranger === undefined ? {} : { networkKeys: stranger };
    const outside = await startNode(t, { ...networkKeys, peers: [inside.endpoint] });
    const dialler = await startNode(t, {
      networkKeys: new TestKeys(1),
      peers: [outside.endpoint, inside.endpoint],
    });
    inside.router.advertise([digestKey(1)]);
    await untilFound(dialler, digestKey(1));
    await sleep(APART_MS);
    assert.deepEqual(
      [inside, dialler, outside].map(({ router }) => router.peers()),
      [1, 1, 0],
    );
    assert.deepEqual((await find(outside, digestKey(1), 300)).ids, []);
    const warnings = lines.filter((line) => line.includes('was kept out of the network'));
    assert.equal(warnings.length, 1, lines.join(''));
    assert.match(warnings[0] ?? '', /with(out a| another) key.*127\.0\.0\.1/);
  });
}

test('a rotation under way loses no content, and a key that is out ends its connections', async (t) => {
  const keys = [new TestKeys(1), new TestKeys(1), new TestKeys(1)];
  const [first, ...later] = keys;
  assert.ok(first);
  const a = await startNode(t, { networkKeys: first });
  const peers = [a.endpoint];
  const others = await Promise.all(
    later.map((networkKeys) => startNode(t, { networkKeys, peers })),
  );
  const all = [a, ...others];
  await until(() => all.every(({ router }) => router.peers() === 2));
  a.router.advertise([digestKey(1)]);
  for (const node of others) await untilFound(node, digestKey(1));
  const leaked = await startNode(t, { networkKeys: new TestKeys(1), peers: [a.endpoint] });
  await until(() => leaked.router.peers() === 3);
  let lost = 0;
  for (const [used, ...more] of [[1, 2], [2, 1], [2]] as const) {
    for (const key of keys) {
      key.set(used, ...more);
      for (const node of others) {
        if ((await find(node, digestKey(1))).ids.length === 0) lost += 1;
      }
    }
  }
  assert.equal(lost, 0);
  await until(() => leaked.router.peers() === 0);
  await until(() => all.every(({ router }) => router.peers() === 2));
});

async function pings(from: Libp2p, to: Libp2p): Promise<number> {
  const [connection] = from.getConnections(to.peerId);
  assert.ok(connection);
  const stream = await connection.newStream('/ipfs/ping/1.0.0');
  const answer = once(stream as unknown as EventTarget, 'message');
  stream.send(Buffer.alloc(32, 7));
  const [{ data }] = (await answer) as [{ data: Uint8Array }];
  await stream.close();
  return data.byteLength;
}

test("the library's protector, which stands for Go's, connects in both directions", async (t) => {
  const ours = await startNode(t, { networkKeys: new TestKeys(9, 1) });
  const theirs = await startRawNode(t, preSharedKey({ psk: swarmKey(1) }));
  await connect(theirs, ours.endpoint);
  const peer = { peerId: theirs.getConnections()[0]?.remotePeer } as Libp2p;
  assert.equal(peer.peerId.toString(), ours.router.peerId);
  assert.equal(await pings(theirs, peer), 32);

  const hub = await startRawNode(t, preSharedKey({ psk: swarmKey(1) }));
  const address = hub.getMultiaddrs()[0]?.toString() ?? '';
  const dialler = await startNode(t, { networkKeys: new TestKeys(1, 9), peers: [address] });
  await until(() => hub.getConnections().length === 1);
  const met = { peerId: hub.getConnections()[0]?.remotePeer } as Libp2p;
  assert.equal(met.peerId.toString(), dialler.router.peerId);
  assert.equal(await pings(hub, met), 32);
  const other = await startRawNode(t, preSharedKey({ psk: swarmKey(2) }));
  await assert.rejects(connect(other, ours.endpoint));
});

test('garbage is cut at once, silence in seconds, and those with a key are served meanwhile', async (t) => {
  const lines: string[] = [];
  const log = createLogger('INFO', (line) => lines.push(line));
  const node = await startNode(t, { networkKeys: new TestKeys(1), log });
  const knock = async (bytes: Buffer): Promise<number> => {
    const started = Date.now();
    const socket = connectTcp({ port: node.port, host: '127.0.0.1' });
    socket.on('error', () => {});
    t.after(() => socket.destroy());
    if (bytes.length > 0) socket.write(bytes);
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    return Date.now() - started;
  };
  const silent = Promise.all([Buffer.alloc(0), Buffer.alloc(10)].map(knock));
  const hello = Buffer.from('\x13/multistream/1.0.0\n');
  const garbage = [Buffer.alloc(44, 3), Buffer.alloc(100_000, 4), Buffer.concat([hello, hello])];
  const times = await Promise.all(
    Array.from({ length: 30 }, (_, i) => knock(garbage[i % 3] as Buffer)),
  );
  assert.ok(Math.max(...times) < 3_000, `cut after ${Math.max(...times)} ms`);
  await startNode(t, { networkKeys: new TestKeys(1), peers: [node.endpoint] });
  await until(() => node.router.peers() === 1);
  for (const ms of await silent) assert.ok(ms > 4_000 && ms < 9_000, `silence cut after ${ms} ms`);
  // One for those without a key and one for those with another, however often they knock.
  assert.equal(lines.filter((line) => line.includes('"WARN"')).length, 2, lines.join(''));
});
