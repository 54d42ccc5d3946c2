import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../lib/base/log.ts';
import { parseBootstrapPeer } from '../../lib/bootstrap/peer.ts';
import { StaticBootstrapper } from '../../lib/bootstrap/static.ts';

const ID = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp';
const peer = (host: string, port: number, peerId?: string, family?: 4 | 6) => ({
  host,
  port,
  family,
  peerId,
});

test('every form of an entry is understood', () => {
  assert.deepEqual(parseBootstrapPeer('/ip4/10.0.0.1/tcp/5001'), peer('10.0.0.1', 5001));
  assert.deepEqual(
    parseBootstrapPeer(`/ip4/10.0.0.1/tcp/5001/p2p/${ID}`),
    peer('10.0.0.1', 5001, ID),
  );
  assert.deepEqual(
    parseBootstrapPeer(`/ip4/10.0.0.1/tcp/5001/ipfs/${ID}`),
    peer('10.0.0.1', 5001, ID),
  );
  assert.deepEqual(parseBootstrapPeer('/ip6/fd00::1/tcp/7'), peer('fd00::1', 7));
  assert.deepEqual(parseBootstrapPeer('/dns4/a.example/tcp/7'), peer('a.example', 7, undefined, 4));
  assert.deepEqual(parseBootstrapPeer('/dns6/a.example/tcp/7'), peer('a.example', 7, undefined, 6));
  assert.deepEqual(parseBootstrapPeer('/dns/a.example/tcp/7'), peer('a.example', 7));
  assert.deepEqual(parseBootstrapPeer(' 10.0.0.1:7 '), peer('10.0.0.1', 7));
  assert.deepEqual(parseBootstrapPeer('[fd00::1]:7'), peer('fd00::1', 7));
  assert.deepEqual(parseBootstrapPeer('node1:7'), peer('node1', 7));
  assert.deepEqual(parseBootstrapPeer('node1'), peer('node1', 5001));
});

test('a wrong entry says what was expected, what came and what to do', () => {
  const wrong = [
    '',
    '/',
    '/ip4/10.0.0.1',
    '/ip4/10.0.0.1/udp/1',
    '/ip4/10.0.0.1/tcp/0',
    '/ip4/1.2.3.400/tcp/1',
  ];
  wrong.push(
    '/ip4/10.0.0.1/tcp/1/p2p/garbage',
    '/ip4/10.0.0.1/tcp/1/ws',
    '10.0.0.1:99999',
    'http://a:1',
  );
  wrong.push('/dnsaddr/a.example/tcp/1', '/unix/tmp', `/p2p/${ID}`, '/ip6/fe80::1/tcp/x');
  for (const text of wrong) {
    assert.throws(
      () => parseBootstrapPeer(text),
      {
        code: 'ERR_OPTION_VALUE',
        message: /^expected a multiaddr .*, got ".*"$/,
      },
      text,
    );
  }
});

test('names are resolved, failures left out, doubles dropped', async () => {
  const resolve = async (name: string, family: 0 | 4 | 6) => {
    if (name === 'gone') throw new Error('ENOTFOUND');
    return family === 6 ? ['fd00::2'] : ['10.0.0.1', 'fd00::2'];
  };
  const entries = [
    '10.0.0.1:1',
    'name:1',
    'gone:1',
    '/dns6/name/tcp/1',
    `/dns/name/tcp/2/p2p/${ID}`,
  ];
  const bootstrapper = new StaticBootstrapper(
    { log: silentLogger, resolve },
    entries.map(parseBootstrapPeer),
  );
  assert.deepEqual(await bootstrapper.addresses(AbortSignal.timeout(1_000)), [
    '/ip4/10.0.0.1/tcp/1',
    '/ip6/fd00::2/tcp/1',
    `/ip4/10.0.0.1/tcp/2/p2p/${ID}`,
    `/ip6/fd00::2/tcp/2/p2p/${ID}`,
  ]);
});

test('a resolver that hangs holds nothing up beyond the signal', async () => {
  const resolve = () => new Promise<string[]>(() => {});
  const peers = ['10.0.0.1:1', 'hangs:1'].map(parseBootstrapPeer);
  const bootstrapper = new StaticBootstrapper({ log: silentLogger, resolve }, peers);
  assert.deepEqual(await bootstrapper.addresses(AbortSignal.timeout(50)), ['/ip4/10.0.0.1/tcp/1']);
});
