import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, isIPv4, type Socket } from 'node:net';
import { test } from 'node:test';
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { isLoopback, ownIps } from '../../../lib/base/address.ts';
import {
  busierThan,
  endpointsOf,
  type Link,
  onePerPeer,
} from '../../../lib/routing/membership/links.ts';
import { connectFrom, guardedTcp, localIpOf } from '../../../lib/routing/transport/tcp.ts';
import { receiver } from '../dht/told.ts';
import { type Cleanup, freePort, until } from '../libp2p/fleet.ts';

const ROUTE = '203.0.113.254';
const USED = '10.0.0.7';
const BRIDGE = '172.17.0.1';
const announceable = new Set([ROUTE, USED, '10.1.0.7']);

/** Links of one peer per address. */
const links = (...locals: string[]): Link[] =>
  locals.map((local, index) => ({ peer: receiver(index), local, remote: `10.0.0.${index + 100}` }));
const busier = (found: readonly Link[], now?: string) =>
  busierThan(ROUTE, found, announceable, now);

test('an address is busier when more peers are connected at it', () => {
  assert.equal(busier([]), undefined);
  assert.equal(busier(links(ROUTE)), undefined);
  assert.equal(busier(links(USED)), USED);
  assert.equal(busier(links(ROUTE, USED)), undefined, 'the default route stays at a tie');
  assert.equal(busier(links(ROUTE, USED, USED)), USED, 'one peer does not hold it');
  assert.equal(busier(links(ROUTE, ROUTE, USED)), undefined);
});

test('a peer counts once at an address, however many connections it makes', () => {
  const [one] = links(USED);
  assert.ok(one);
  assert.equal(busier([one, one, one, ...links(ROUTE)]), undefined);
});

test('a peer has one voice in a trial, however many connections it makes', () => {
  const [one, other] = links(USED, USED);
  assert.ok(one && other);
  assert.deepEqual(onePerPeer([one, other, one, one]), [one, other]);
});

test("no bridge's address is busier, and the one announced now stays at a tie", () => {
  assert.equal(busier(links(BRIDGE, BRIDGE)), undefined);
  assert.equal(busier(links(USED, '10.1.0.7'), '10.1.0.7'), '10.1.0.7');
  assert.equal(busier(links('10.1.0.7', USED), USED), USED);
  assert.equal(busier(links(USED, USED, '10.1.0.7'), '10.1.0.7'), USED);
});

test("a peer's router is tried where the peer is, then where it says, and never at this host", () => {
  const [mine = '127.0.0.1'] = [...ownIps()].filter((ip) => isIPv4(ip) && !isLoopback(ip));
  const said = [
    `/ip4/${mine}/tcp/5001`,
    '/ip4/10.0.0.9/tcp/5001',
    '/ip4/10.0.0.9/tcp/30020/http',
    '/ip4/127.0.0.1/tcp/6379',
    '/ip4/169.254.169.254/tcp/80',
    '/ip6/fd00::9/tcp/5001',
  ];
  const of = (texts: string[]) =>
    endpointsOf({
      peer: { ...receiver(0), addresses: texts.map((text) => multiaddr(text).bytes) },
      local: USED,
      remote: '10.0.0.5',
    }).map(({ host, port }) => `${host}:${port}`);
  assert.deepEqual(of(said), ['10.0.0.5:5001', '10.0.0.5:6379', '10.0.0.5:80', '10.0.0.9:5001']);
  assert.deepEqual(of(['/ip4/10.0.0.5/tcp/5001']), ['10.0.0.5:5001']);
  assert.equal(of(Array.from({ length: 16 }, (_, i) => `/ip4/10.0.0.9/tcp/${i + 1}`)).length, 4);
});

async function startNode(t: Cleanup, address: string) {
  const node = await createLibp2p({
    addresses: { listen: [address] },
    transports: [guardedTcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
  });
  t.after(() => node.stop());
  return node;
}

test('the IP that a connection uses at this host is known for inbound and outbound connections', async (t) => {
  const port = await freePort();
  const asked = await startNode(t, `/ip4/0.0.0.0/tcp/${port}`);
  const asker = await startNode(t, '/ip4/127.0.0.1/tcp/0');
  const connection = await asker.dial(multiaddr(`/ip4/127.0.0.9/tcp/${port}`));
  assert.equal(localIpOf(connection), '127.0.0.1');
  await until(() => asked.getConnections().length === 1);
  assert.deepEqual(asked.getConnections().map(localIpOf), ['127.0.0.9']);
});

test('a connection from one of our IPs is answered or not, and closed in either case', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const came = once(server, 'connection');
  await connectFrom('127.0.0.7', { host: '127.0.0.1', port }, AbortSignal.timeout(5_000));
  const [socket] = (await came) as [Socket];
  assert.equal(socket.remoteAddress, '127.0.0.7');
  socket.resume();
  await once(socket, 'close');

  const nobody = { host: '127.0.0.1', port: await freePort() };
  await assert.rejects(connectFrom('127.0.0.7', nobody, AbortSignal.timeout(5_000)), {
    code: 'ECONNREFUSED',
  });
  await assert.rejects(
    connectFrom('192.0.2.1', { host: '127.0.0.1', port }, AbortSignal.timeout(5_000)),
    { code: 'EADDRNOTAVAIL' },
  );
  await assert.rejects(
    connectFrom('127.0.0.7', { host: '127.0.0.1', port }, AbortSignal.abort(new Error('stopped'))),
    /stopped/,
  );
});
