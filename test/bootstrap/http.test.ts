/** Real servers on 127.0.0.1. */
import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { silentLogger as log } from '../../lib/base/log.ts';
import { HttpBootstrapper } from '../../lib/bootstrap/http.ts';
import { IDS } from './ids.ts';

const [ID = '', OTHER = ''] = IDS;
const OWN = [`/ip4/10.0.0.1/tcp/7001/p2p/${ID}`, `/ip6/fd00::1/tcp/7001/p2p/${ID}`];
const BARE = ['/ip4/10.0.0.1/tcp/7001', '/ip6/fd00::1/tcp/7001'];
const signal = () => AbortSignal.timeout(10_000);

async function serveOwn(t: TestContext, own: () => readonly string[] = () => OWN) {
  const bootstrapper = new HttpBootstrapper(
    { log, own },
    { address: { host: '127.0.0.1', port: 0 }, urls: [], routerPort: 5001 },
  );
  await bootstrapper.start(signal());
  t.after(() => bootstrapper.stop());
  return { bootstrapper, url: `http://127.0.0.1:${bootstrapper.port}` };
}

function asking(...urls: string[]): HttpBootstrapper {
  return new HttpBootstrapper(
    { log, own: () => [] },
    { address: undefined, urls, routerPort: 5001 },
  );
}

/** A server that answers as `listener` does; the URL of its /id. */
async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/id`;
}

const textOf = (t: TestContext, body: string) => serve(t, (_, response) => response.end(body));

test('each release of Go Spegel gets what it reads', async (t) => {
  const { url } = await serveOwn(t);
  const get = async (path: string) => {
    const response = await fetch(`${url}${path}`);
    return [response.status, response.headers.get('content-type'), await response.text()];
  };
  const info = { ID, Addrs: BARE };
  // peer.AddrInfo of go-libp2p: its ID as text, its addresses without /p2p.
  assert.deepEqual(await get('/id'), [200, 'application/json', JSON.stringify(info)]);
  assert.deepEqual(await get('/id?format=list'), [200, 'application/json', JSON.stringify([info])]);
  assert.deepEqual(await get('/id?format=text'), [200, 'text/plain; charset=utf-8', OWN[0]]);
  assert.equal((await get('/id?format=xml'))[0], 400);
  assert.equal((await get('/'))[0], 404);
  assert.equal((await get('/v2/'))[0], 404);
  assert.equal((await fetch(`${url}/id`, { method: 'POST', body: 'x' })).status, 405);
});

test('what we serve in each form is what we read', async (t) => {
  const { url } = await serveOwn(t);
  assert.deepEqual(await asking(`${url}/id`).addresses(signal()), OWN);
  assert.deepEqual(await asking(`${url}/id?format=list`).addresses(signal()), OWN);
  assert.deepEqual(await asking(`${url}/id?format=text`).addresses(signal()), OWN.slice(0, 1));
});

test('a node without an address yet says so, and nothing of itself', async (t) => {
  let own: string[] = [];
  const { url } = await serveOwn(t, () => own);
  assert.equal((await fetch(`${url}/id`)).status, 503);
  assert.deepEqual(await asking(`${url}/id`).addresses(signal()), []);
  own = [...OWN];
  assert.equal((await fetch(`${url}/id`)).status, 200);
});

test('answers of Go Spegel: main’s list with and without ids, several peers, null for no addresses', async (t) => {
  const list = [
    { ID, Addrs: ['/ip4/10.0.0.1/tcp/5001'] },
    { ID: '', Addrs: ['/ip4/10.0.0.2/tcp/5001', '/ip4/10.0.0.3'] },
    { ID: OTHER, Addrs: null },
  ];
  const url = await textOf(t, `${JSON.stringify(list)}\n`);
  assert.deepEqual(await asking(url).addresses(signal()), [
    `/ip4/10.0.0.1/tcp/5001/p2p/${ID}`,
    '/ip4/10.0.0.2/tcp/5001',
    '/ip4/10.0.0.3/tcp/5001',
  ]);
});

test('loopback and unspecified addresses stand for the address that was asked', async (t) => {
  const { parsePeerInfo } = await import('../../lib/bootstrap/peer-info.ts');
  const addresses = [
    '/ip4/127.0.0.1/tcp/1',
    '/ip4/0.0.0.0/tcp/2',
    '/ip6/::1/tcp/1',
    '/ip6/::/tcp/4',
  ];
  const text = JSON.stringify({ ID, Addrs: addresses });
  assert.deepEqual(parsePeerInfo(text, '10.0.0.9', 5001), [
    `/ip4/10.0.0.9/tcp/1/p2p/${ID}`,
    `/ip4/10.0.0.9/tcp/2/p2p/${ID}`,
    `/ip4/10.0.0.9/tcp/4/p2p/${ID}`,
  ]);
  const url = await textOf(t, text);
  assert.deepEqual(await asking(url).addresses(signal()), [
    `/ip4/127.0.0.1/tcp/1/p2p/${ID}`,
    `/ip4/127.0.0.1/tcp/2/p2p/${ID}`,
    `/ip6/::1/tcp/1/p2p/${ID}`,
    `/ip4/127.0.0.1/tcp/4/p2p/${ID}`,
  ]);
});

test('names, other transports and garbage do not pass on; a wrong id is no id', async (t) => {
  const Addrs = [
    '/dns4/a.example/tcp/1',
    '/ip4/10.0.0.1/udp/1/quic-v1',
    '/ip4/10.0.0.1/tcp/0',
    '/ip4/10.0.0.1/tcp/1/ws',
    '/ip4/224.0.0.1/tcp/1',
    'nonsense',
    7,
    '/ip4/10.0.0.1/tcp/3',
  ];
  const url = await textOf(t, JSON.stringify({ ID: 'nobody', Addrs }));
  assert.deepEqual(await asking(url).addresses(signal()), ['/ip4/10.0.0.1/tcp/3']);
});

test('an answer that is wrong, long, slow, or none takes nothing from the others', {
  timeout: 20_000,
}, async (t) => {
  const closed = createTcpServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => closed.once('listening', resolve));
  const { port } = closed.address() as AddressInfo;
  closed.close();
  const many = JSON.stringify(
    Array.from({ length: 3_000 }, (_, index) => ({
      ID: '',
      Addrs: [`/ip4/10.1.${index >> 8}.${index & 255}/tcp/1`],
    })),
  );
  const good = await textOf(t, OWN[0] ?? '');
  const urls = [
    `http://127.0.0.1:${port}/id`,
    'http://127.0.0.1:1/id',
    await textOf(t, ''),
    await textOf(t, '<html>'),
    await textOf(t, '{"id":1}'),
    await textOf(t, '[null]'),
    await serve(t, (_, response) => response.writeHead(302, { Location: good }).end()),
    await serve(t, (_, response) => response.writeHead(500).end(OWN[0])),
    await serve(t, (_, response) => response.end(Buffer.alloc(1_000_000, 0x20))),
    await serve(t, (_, response) => response.writeHead(200).write('/ip4/')),
    await serve(t, ({ socket }) => socket.destroy()),
    await serve(t, () => {}),
    good,
  ];
  const started = performance.now();
  assert.deepEqual(await asking(...urls).addresses(signal()), [OWN[0]]);
  assert.ok(performance.now() - started < 9_000, 'each has three seconds');
  assert.equal((await asking(await textOf(t, many)).addresses(signal())).length, 256);
  assert.deepEqual(await asking(good).addresses(AbortSignal.abort()), []);
});

test('a port in use is an error that names the option', async (t) => {
  const { bootstrapper } = await serveOwn(t);
  const port = bootstrapper.port ?? 0;
  const second = new HttpBootstrapper(
    { log, own: () => OWN },
    { address: { host: '127.0.0.1', port }, urls: [], routerPort: 5001 },
  );
  await assert.rejects(second.start(signal()), {
    code: 'ERR_LISTEN',
    message: /another process listens there; .* --http-bootstrap-addr/,
  });
  await second.stop();
  await bootstrapper.stop();
  await assert.rejects(fetch(`http://127.0.0.1:${port}/id`));
});

test('garbage behind an answer does not hide who gave it', async (t) => {
  const server = createTcpServer((socket) => {
    const page = '/ip4/0.0.0.0/tcp/7001';
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${page.length}\r\n\r\n`;
    socket.once('data', () => socket.end(`${head}${page}garbage`));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const found = await asking(`http://127.0.0.1:${port}/id`).addresses(signal());
  assert.deepEqual(found, ['/ip4/127.0.0.1/tcp/7001']);
});
