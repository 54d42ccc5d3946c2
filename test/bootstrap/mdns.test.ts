/**
 * Real multicast on this machine's interfaces; ports of our own, so that no other mDNS is in the
 * way or disturbed.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { type TestContext, test } from 'node:test';
import { defaultLogger } from '@libp2p/logger';
import { mdns as libp2pMdns } from '@libp2p/mdns';
import { multiaddr } from '@multiformats/multiaddr';
import { waitUntil } from '../../lab/processes/exec.ts';
import { silentLogger } from '../../lib/base/log.ts';
import { MdnsBootstrapper } from '../../lib/bootstrap/mdns.ts';
import { MDNS_SERVICE } from '../../lib/bootstrap/mdns-message.ts';
import { canMulticast } from '../support/multicast.ts';
import { IDS } from './ids.ts';
import { logLines } from './lines.ts';

const skip = (await canMulticast()) ? false : 'no interface of this machine carries multicast';
const signal = AbortSignal.timeout(60_000);
/** Waits as `waitUntil` does. Peers of one link find each other in seconds: later is a fault. */
const within = (what: string, check: () => Promise<boolean> | boolean, timeoutMs = 8_000) =>
  waitUntil(what, check, { timeoutMs });
let nextPort = 20_000 + (process.pid % 10_000);

interface Node {
  readonly bootstrapper: MdnsBootstrapper;
  readonly changes: () => number;
}

/** A node that is found at `10.0.0.<index + 1>`, and stopped at the end of the test. */
async function startNode(t: TestContext, port: number, index: number): Promise<Node> {
  let changes = 0;
  const own = () => [`/ip4/10.0.0.${index + 1}/tcp/5001/p2p/${IDS[index]}`];
  const bootstrapper = new MdnsBootstrapper({ log: silentLogger, own }, { port });
  await bootstrapper.start(signal, () => {
    changes++;
  });
  t.after(() => bootstrapper.stop());
  return { bootstrapper, changes: () => changes };
}

const address = (index: number) => `/ip4/10.0.0.${index + 1}/tcp/5001/p2p/${IDS[index]}`;
const knows = (node: Node, index: number) => async () =>
  (await node.bootstrapper.addresses()).includes(address(index));

test('two nodes find each other, and one that stops is forgotten', { skip }, async (t) => {
  const port = nextPort++;
  const a = await startNode(t, port, 0);
  const b = await startNode(t, port, 1);
  await within('a and b know each other', async () => (await knows(a, 1)()) && knows(b, 0)());
  await within('both heard of a change', async () => a.changes() > 0 && b.changes() > 0);
  await within('the address that the packet came from is one to try, too', async () =>
    (await a.bootstrapper.addresses()).some((text) => !text.startsWith('/ip4/10.0.0.')),
  );
  const found = await a.bootstrapper.addresses();
  assert.ok(!found.some((text) => text.includes(IDS[0] ?? '')), 'no node finds itself');
  await b.bootstrapper.stop();
  await within('a forgot b', async () => !(await knows(a, 1)()));
});

test('a failure on the way is logged and ends nothing', { skip }, async (t) => {
  const port = nextPort++;
  const { log, lines } = logLines();
  let isBroken = true;
  const own = () => {
    if (isBroken) throw new Error('on purpose');
    return [address(0)];
  };
  const bootstrapper = new MdnsBootstrapper({ log, own }, { port });
  await bootstrapper.start(signal, () => {});
  t.after(() => bootstrapper.stop());
  assert.deepEqual(
    lines.map(({ error }) => error),
    ['on purpose'],
  );
  isBroken = false;
  const other = await startNode(t, port, 1);
  await within('it is found', knows(other, 0));
  isBroken = true;
  await bootstrapper.stop();
  assert.equal(lines.at(-1)?.error, 'on purpose');
});

test('a node without an address says nothing, and is found as soon as it has one', {
  skip,
}, async (t) => {
  const port = nextPort++;
  const a = await startNode(t, port, 0);
  let own: string[] = [];
  const late = new MdnsBootstrapper({ log: silentLogger, own: () => own }, { port });
  await late.start(signal, () => {});
  t.after(() => late.stop());
  await within('late knows a', async () => (await late.addresses()).includes(address(0)));
  assert.deepEqual(await a.bootstrapper.addresses(), []);
  own = [address(2)];
  await within('a knows late', knows(a, 2));
});

test('libp2p’s own mDNS finds us and is found, beside a responder that has the port', {
  skip,
}, async (t) => {
  const port = nextPort++;
  // As avahi does: it is there first, and shares the port with whoever asks for that.
  const avahi = createSocket({ type: 'udp4', reuseAddr: true });
  avahi.bind(port);
  await once(avahi, 'listening');
  t.after(() => avahi.close());
  const ours = await startNode(t, port, 0);
  const theirs = libp2pMdns({ serviceTag: MDNS_SERVICE, port, interval: 500 })({
    logger: defaultLogger(),
    addressManager: { getAddresses: () => [multiaddr(address(1))] },
  } as unknown as Parameters<ReturnType<typeof libp2pMdns>>[0]);
  const found: string[] = [];
  theirs.addEventListener('peer', ({ detail }) => found.push(detail.id.toString()));
  const startable = theirs as unknown as { start(): Promise<void>; stop(): Promise<void> };
  await startable.start();
  t.after(() => startable.stop());
  await within('ours knows theirs', knows(ours, 1));
  await within('theirs knows ours', async () => found.includes(IDS[0] ?? ''));
});

test('no network is no reason to fail, and one that comes later is used', {
  skip,
  timeout: 30_000,
}, async (t) => {
  const port = nextPort++;
  const a = await startNode(t, port, 0);
  let interfaces: ReturnType<typeof networkInterfaces> = {};
  const lines: string[] = [];
  const log = { ...silentLogger, warn: (message: string) => lines.push(message) };
  const own = () => [address(1)];
  const b = new MdnsBootstrapper({ log, own, interfaces: () => interfaces }, { port });
  await b.start(signal, () => {});
  t.after(() => b.stop());
  assert.deepEqual(await b.addresses(), []);
  // An address that this host does not have: joining its group fails, as on an interface that just
  // went away.
  interfaces = { gone0: [{ ...V4, address: '10.255.255.1', cidr: '10.255.255.1/24' }] };
  await within('it was tried', async () => lines.length > 0);
  interfaces = networkInterfaces();
  await within('b is found', knows(a, 1), 12_000);
  assert.equal(lines.length, 1);
});

test('a program that does not share the port is logged once, and waited for', {
  skip,
  timeout: 30_000,
}, async (t) => {
  const port = nextPort++;
  const exclusive = createSocket({ type: 'udp4', reuseAddr: false });
  exclusive.bind(port);
  await once(exclusive, 'listening');
  const lines: string[] = [];
  const log = {
    ...silentLogger,
    warn: (_: string, fields?: object) => lines.push(JSON.stringify(fields)),
  };
  const outward = Object.entries(networkInterfaces()).filter(([, infos = []]) =>
    infos.some(({ family, internal }) => family === 'IPv4' && !internal),
  );
  const interfaces = () => Object.fromEntries(outward.slice(0, 1));
  const nodes = [0, 1].map((index) => {
    const own = () => [address(index)];
    return new MdnsBootstrapper({ log, own, interfaces }, { port });
  });
  for (const node of nodes) {
    await node.start(signal, () => {});
    t.after(() => node.stop());
  }
  await within('both are logged', () => lines.length === 2);
  exclusive.close();
  const [first] = nodes;
  await within(
    'found',
    async () => (await first?.addresses())?.includes(address(1)) === true,
    15_000,
  );
  assert.equal(lines.length, 2);
  assert.match(lines[0] ?? '', /EADDRINUSE/);
});

const V4 = { family: 'IPv4', internal: false, netmask: '255.255.255.0', mac: '' } as const;

test('garbage, foreign services, and addresses that cannot be dialled are skipped', {
  skip,
}, async (t) => {
  const port = nextPort++;
  const node = await startNode(t, port, 0);
  const { encode } = await import('dns-packet');
  const txt = (data: string, name = `x.${MDNS_SERVICE}`) =>
    ({ type: 'TXT', name, ttl: 120, data }) as const;
  const ptr = (name: string) => ({ type: 'PTR', name, ttl: 120, data: `x.${name}` }) as const;
  const dnsaddr = (index: number, where: string) => txt(`dnsaddr=${where}/p2p/${IDS[index]}`);
  const packets = [
    Buffer.from('garbage'),
    Buffer.alloc(0),
    Buffer.alloc(1_400, 0xc0),
    encode({
      type: 'response',
      answers: [ptr('_p2p._udp.local'), dnsaddr(1, '/ip4/10.0.0.2/tcp/1')],
    }),
    encode({ type: 'response', answers: [dnsaddr(1, '/ip4/10.0.0.2/tcp/2')] }),
    encode({
      type: 'response',
      answers: [
        ptr(MDNS_SERVICE),
        dnsaddr(1, '/dns4/a.example/tcp/1'),
        dnsaddr(1, '/ip4/10.0.0.2/udp/1/quic-v1'),
        dnsaddr(1, '/ip4/224.0.0.1/udp/1'),
        txt('dnsaddr=/ip4/10.0.0.2/tcp/3'),
        txt('dnsaddr='),
        txt('other=/ip4/10.0.0.2/tcp/4'),
        txt(`dnsaddr=/ip4/10.0.0.2/tcp/5/p2p/${IDS[1]}`, 'x._other._tcp.local'),
        dnsaddr(2, '/ip4/10.0.0.3/tcp/6'),
        { type: 'TXT', name: `x.${MDNS_SERVICE}`, ttl: 120, data: [] },
      ],
    }),
  ];
  const sender = createSocket({ type: 'udp4', reuseAddr: true });
  t.after(() => sender.close());
  sender.bind();
  await once(sender, 'listening');
  const send = () => {
    for (const packet of packets) sender.send(packet, port, '224.0.0.251');
  };
  const known = async () => {
    send();
    return (await node.bootstrapper.addresses()).some((text) => text.includes(IDS[2] ?? ''));
  };
  await within('the good one arrived', known);
  const found = await node.bootstrapper.addresses();
  assert.ok(found.includes(`/ip4/10.0.0.3/tcp/6/p2p/${IDS[2]}`));
  assert.ok(!found.some((text) => text.includes(IDS[1] ?? '')), found.join(' '));
});
