import assert from 'node:assert/strict';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { multiaddr } from '@multiformats/multiaddr';
import { createLogger, silentLogger } from '../../../lib/base/log.ts';
import { IdentityConflict } from '../../../lib/routing/transport/identity-conflict.ts';
import { OwnPeer } from '../../../lib/routing/transport/own-peer.ts';
import { freePort, LOOPBACK, type NodeOptions, startNode, until } from '../libp2p/fleet.ts';

const WARNING = /another host has the identity of this one/;

/** A node with its log lines and the value of its metric. */
async function watched(t: TestContext, options: NodeOptions) {
  const lines: string[] = [];
  const seen = { conflict: Number.NaN };
  const log = createLogger('INFO', (line) => lines.push(line));
  const onConflict = (value: number) => {
    seen.conflict = value;
  };
  const node = await startNode(t, { ...options, log, onConflict });
  const warnings = () => lines.filter((line) => WARNING.test(line)).map((line) => JSON.parse(line));
  return { node, seen, warnings, id: node.router.peerId, endpoint: node.endpoint };
}

async function dataDirs(t: TestContext): Promise<[string, string]> {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-clone-'));
  t.after(() => rm(dir, { recursive: true }));
  return [join(dir, 'one'), join(dir, 'two')];
}

test('a node and its clone, one of them in the list of the other, both say so', async (t) => {
  const [one, two] = await dataDirs(t);
  const first = await watched(t, { dataDir: one });
  assert.equal(first.seen.conflict, 0);
  await cp(one, two, { recursive: true });
  const clone = await watched(t, { dataDir: two, peers: [first.endpoint] });
  assert.equal(clone.id, first.id);
  await until(() => first.seen.conflict === 1 && clone.seen.conflict === 1);
  const [said] = clone.warnings();
  assert.equal(said.level, 'WARN');
  assert.equal(said.own[0], `/ip4/127.0.0.1/tcp/${clone.node.port}`);
  assert.equal(said.other, `/ip4/127.0.0.1/tcp/${first.node.port}`);
  assert.match(said.advice, new RegExp(`rm ${two}/private.key`));
  assert.equal(first.warnings()[0]?.other, LOOPBACK);
  await sleep(1_000);
  assert.deepEqual(
    [first, clone].map(({ warnings }) => warnings().length),
    [1, 1],
  );
});

test('a node and its clone that share only a third peer notice by its answers, and prove it', async (t) => {
  const [one, two] = await dataDirs(t);
  const third = await startNode(t);
  const first = await watched(t, { dataDir: one, peers: [third.endpoint] });
  await until(() => third.router.peers() === 1);
  await cp(one, two, { recursive: true });
  const clone = await watched(t, { dataDir: two, peers: [third.endpoint] });
  await until(() => first.seen.conflict === 1 && clone.seen.conflict === 1, 60_000);
});

test('a clone that goes is noticed, and its return', async (t) => {
  const [one, two] = await dataDirs(t);
  const port = await freePort();
  const first = await watched(t, { dataDir: one });
  await cp(one, two, { recursive: true });
  const clone = await startNode(t, { dataDir: two, port });
  const asking = await watched(t, { dataDir: one, peers: [clone.endpoint] });
  await until(() => asking.seen.conflict === 1);
  await clone.stop();
  await until(() => asking.seen.conflict === 0, 60_000);
  assert.equal(first.seen.conflict, 0);
});

test('a node that meets itself at another address, as behind a NAT, sees no conflict', async (t) => {
  const [one] = await dataDirs(t);
  const port = await freePort();
  const hairpin = createServer((socket) => {
    const inner = connect(port, LOOPBACK);
    for (const end of [socket, inner]) end.on('error', () => {});
    socket.pipe(inner).pipe(socket);
  }).listen(0, LOOPBACK);
  t.after(() => hairpin.close());
  await until(() => hairpin.listening);
  const outside = (hairpin.address() as { port: number }).port;
  const node = await watched(t, {
    dataDir: one,
    port,
    peers: [`${LOOPBACK}:${port}`, `${LOOPBACK}:${outside}`],
  });
  await sleep(3_000);
  assert.equal(node.seen.conflict, 0);
  assert.deepEqual(node.warnings(), []);
});

test('an address that is only claimed is dialled within bounds, and is no conflict', async () => {
  const values: number[] = [];
  const self = new OwnPeer({
    routerAddress: { host: '10.0.0.1', port: 5001 },
    registryPort: 5000,
    advertiseAddresses: [],
  });
  self.identify('us', Buffer.from('us'));
  const instruments = {
    identityConflict: { set: (_: unknown, value: number) => values.push(value) },
  };
  const conflict = new IdentityConflict({ log: silentLogger, instruments, self }, '/data', 5001);
  const own = ['/ip4/10.0.0.1/tcp/5001', '/ip4/127.0.0.1/tcp/5001', '/ip4/169.254.1.1/tcp/5001'];
  const forged = Array.from(
    { length: 1_000 },
    (_, index) => `/ip4/10.1.${index >> 8}.${index & 255}/tcp/22`,
  );
  const dialled: string[] = [];
  const dial = (address: string) => {
    dialled.push(address);
    return Promise.resolve('somebody else');
  };
  for (let looks = 0; looks < 20; looks++) {
    conflict.claimed([...own, ...forged.slice(0, 100)].map((text) => multiaddr(text).bytes));
    await conflict.look(dial, new AbortController().signal);
  }
  assert.deepEqual(values, [0]);
  assert.equal(dialled.length, 40);
  assert.equal(new Set(dialled).size, 40);
  assert.ok(dialled.every((address) => address.startsWith('/ip4/10.1.')));
});
