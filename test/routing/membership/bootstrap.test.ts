import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '../../../lib/base/log.ts';
import { freePort, startNode, until } from '../libp2p/fleet.ts';

/** A valid id that no node here has. */
const OTHER_ID = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp';

test('a node joins by every form of a bootstrap entry', async (t) => {
  const first = await startNode(t);
  const { port } = first;
  const forms = [
    `127.0.0.1:${port}`,
    `localhost:${port}`,
    `[::ffff:127.0.0.1]:${port}`,
    `/ip4/127.0.0.1/tcp/${port}`,
    `/ip4/127.0.0.1/tcp/${port}/p2p/${first.router.peerId}`,
    `/ip4/127.0.0.1/tcp/${port}/p2p/${OTHER_ID}`,
    `/dns4/localhost/tcp/${port}`,
    `/dns/localhost/tcp/${port}/p2p/${first.router.peerId}`,
  ];
  for (const form of forms) {
    await t.test(form, async (t) => {
      const node = await startNode(t, { peers: [form] });
      await until(() => node.router.peers() >= 1);
    });
  }
});

test('own addresses in the list are skipped, by address and by id', async (t) => {
  const port = await freePort();
  const lines: string[] = [];
  const log = createLogger('DEBUG', (line) => lines.push(line));
  const node = await startNode(t, { port, peers: [`127.0.0.1:${port}`, `localhost:${port}`], log });
  await sleep(300);
  assert.equal(node.router.peers(), 0);
  assert.equal(lines.filter((line) => line.includes('not reached')).length, 0);
});

test('a peer that starts late is met, with one line when lonely and one when joined', async (t) => {
  const port = await freePort();
  const lines: string[] = [];
  const log = createLogger('INFO', (line) => lines.push(line));
  const node = await startNode(t, { peers: [`127.0.0.1:${port}`], log });
  await until(() => lines.some((line) => line.includes('no peer reached')));
  await sleep(500);
  await startNode(t, { port });
  await until(() => node.router.peers() === 1);
  await until(() => lines.some((line) => line.includes('joined the network')));
  assert.equal(lines.filter((line) => line.includes('no peer reached')).length, 1);
});

test('a long list of dead peers does not keep a node from meeting a peer that starts late', async (t) => {
  // They accept connections and send nothing, as a frozen host does.
  const dead = createServer((socket) => socket.on('error', () => {})).listen(0, '0.0.0.0');
  t.after(() => dead.close());
  await once(dead, 'listening');
  const { port: silent } = dead.address() as AddressInfo;
  const list = Array.from(
    { length: 40 },
    (_, i) => `/ip4/127.0.1.${i + 1}/tcp/${silent}/p2p/${OTHER_ID}`,
  );
  const port = await freePort();
  const node = await startNode(t, { peers: [`127.0.0.1:${port}`, ...list] });
  await sleep(1_000);
  await startNode(t, { port });
  const started = Date.now();
  await until(() => node.router.peers() === 1, 10_000);
  t.diagnostic(`met ${Date.now() - started} ms after its start`);
});

test('a name that is resolved to several addresses is tried at all of them', async (t) => {
  const first = await startNode(t);
  const resolve = async () => ['127.0.0.2', '127.0.0.1'];
  const node = await startNode(t, { peers: [`peers.example:${first.port}`], resolve });
  await until(() => node.router.peers() === 1);
});

test('a list that hangs does not delay the peers of another list', async (t) => {
  const first = await startNode(t);
  const hangs = { kind: 'hangs', addresses: () => new Promise<never>(() => {}) };
  const fails = { kind: 'fails', addresses: () => Promise.reject(new Error('no')) };
  const started = Date.now();
  const bootstrappers = [hangs, fails];
  const node = await startNode(t, { peers: [first.endpoint], bootstrappers });
  await until(() => node.router.peers() === 1);
  assert.ok(Date.now() - started < 3_000, `${Date.now() - started} ms`);
});
