import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { peerFindings } from '../../../lib/install/checks/peers-check.ts';
import { listenLocally } from '../../support/listen.ts';

const UNIT = {
  load: 'loaded',
  active: 'active',
  sub: 'running',
  status: '',
  invocation: '1',
  needsReload: false,
  hasJob: false,
  pid: 1,
  since: undefined,
};

test('of peers that do not come it is said which key can be the reason', async (t) => {
  const server = createServer((request, response) => {
    response.end(request.url === '/metrics' ? 'spegel_peers 0\n' : '{"peers":[]}');
  });
  const [host = '', port] = (await listenLocally((stop) => t.after(stop), server)).split(':');
  const at = { host, port: Number(port) };
  const said = async (isClosed: boolean) => {
    const settings = {
      metrics: { option: 'METRICS_ADDR', ...at },
      router: { option: 'ROUTER_ADDR', host: '', port: 5001 },
      first: { listed: [at], ways: ['DNS_BOOTSTRAP_DOMAIN=spegel.corp'] },
      isClosed,
    };
    const [finding, ...more] = await peerFindings(settings, UNIT, new AbortController().signal);
    assert.deepEqual(more, []);
    assert.deepEqual([finding?.kind, finding?.about], ['advice', 'peers']);
    return finding?.message ?? '';
  };
  const named = `got none; named are ${host}:${port}, DNS_BOOTSTRAP_DOMAIN=spegel.corp. Where their`;
  const open = await said(false);
  assert.ok(open.includes(named), open);
  assert.match(open, /ports answer, they are in a closed network, or they have this host's/);
  assert.match(
    await said(true),
    /ports answer, they have another network key \(NETWORK_KEY_FILE\)/,
  );
});
