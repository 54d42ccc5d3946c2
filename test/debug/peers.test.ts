import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../lib/base/log.ts';
import { peersPage } from '../../lib/debug/peers.ts';
import { HttpServer } from '../../lib/http/server.ts';
import { readDaemonStatus } from '../../lib/install/checks/daemon-status.ts';

const never = new AbortController().signal;
const PEER = { peerId: 'one', router: ['10.0.0.1:5001'], registry: ['10.0.0.1:5000'] };
const METRICS = '# HELP x\nspegel_peers 1\nspegel_identity_conflict 0\n';

test('peers are shown to this host only, and all other requests are passed on', async (t) => {
  let isOwn = true;
  const handler = peersPage({
    router: { peers: () => 1, known: () => [PEER] },
    held: () => [],
    next: (request, response) => void response.end(request.url === '/metrics' ? METRICS : 'other'),
    own: { has: () => isOwn },
  });
  const address = { host: '127.0.0.1', port: 0 };
  const settings = { address, name: 'metrics', option: '--metrics-addr', drainMs: 100 };
  const server = new HttpServer({ handler, log: silentLogger }, settings);
  await server.start(never);
  t.after(() => server.stop());
  const at = { host: '', port: server.port };
  assert.deepEqual(await readDaemonStatus(at, never), {
    peers: 1,
    isIdentityShared: false,
    met: [PEER],
  });
  const get = async (path: string) =>
    (await fetch(`http://127.0.0.1:${server.port}${path}`)).text();
  assert.deepEqual(JSON.parse(await get('/peers')), {
    count: 1,
    peers: [PEER],
    health: [{ peerId: 'one', address: '10.0.0.1:5000', state: 'good' }],
  });
  assert.equal(await get('/metric'), 'other');
  isOwn = false;
  assert.equal(await get('/peers'), 'other');
  assert.deepEqual((await readDaemonStatus(at, never)).met, []);
});
