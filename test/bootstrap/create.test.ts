import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger as log } from '../../lib/base/log.ts';
import { createBootstrappers } from '../../lib/bootstrap/create.ts';
import { parseBootstrapPeer } from '../../lib/bootstrap/peer.ts';
import type { BootstrapKind } from '../../lib/bootstrap/settings.ts';
import { IDS } from './ids.ts';

const settings = {
  kinds: [] as readonly BootstrapKind[],
  staticPeers: [parseBootstrapPeer('10.0.0.1')],
  staticPeersFile: undefined,
  dnsDomain: { host: 'localhost', port: undefined },
  httpAddress: { host: '127.0.0.1', port: 0 },
  httpUrls: [],
  dataDir: '',
  routerPort: 7001,
};
const parts = { log, own: () => [] };
const kindsOf = (given: Partial<typeof settings>) =>
  createBootstrappers(parts, { ...settings, ...given }).all.map(({ kind }) => kind);

test('the kinds that are named, each once, and the cache wherever there is a data directory', () => {
  assert.deepEqual(kindsOf({}), []);
  assert.deepEqual(kindsOf({ dataDir: '/nowhere' }), ['cache']);
  assert.deepEqual(kindsOf({ kinds: ['static', 'static', 'dns', 'http', 'mdns'] }), [
    'static',
    'dns',
    'http',
    'mdns',
  ]);
  assert.equal(createBootstrappers(parts, settings).memory, undefined);
});

test('addresses do not wait for names, nor for a file', async () => {
  const staticPeers = ['10.0.0.1', 'name.invalid'].map(parseBootstrapPeer);
  const given = { ...settings, staticPeers, kinds: ['static'] as const };
  const [first, ...others] = createBootstrappers(parts, given).all;
  assert.equal(others.length, 1);
  assert.deepEqual(await first?.addresses(AbortSignal.abort()), ['/ip4/10.0.0.1/tcp/5001']);
});

test('a domain without a port means that of our own router', async () => {
  const [dns] = createBootstrappers(parts, { ...settings, kinds: ['dns'] }).all;
  const found = await dns?.addresses(AbortSignal.timeout(5_000));
  assert.ok(found?.includes('/ip4/127.0.0.1/tcp/7001'), String(found));
});

test('all of them start, are asked and stop together, and leave nothing behind but the cache', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'spegel-lists-'));
  t.after(() => rmSync(dataDir, { recursive: true }));
  const kinds = ['static', 'dns', 'http', 'mdns'] as const;
  const { all, memory } = createBootstrappers(parts, { ...settings, kinds, dataDir });
  const signal = AbortSignal.timeout(10_000);
  for (const list of all) await list.start?.(signal, () => {});
  const found = (await Promise.all(all.map((list) => list.addresses(signal)))).flat();
  assert.ok(found.includes('/ip4/10.0.0.1/tcp/5001'));
  memory?.remember([{ id: IDS[0] ?? '', addresses: ['/ip4/10.0.0.2/tcp/5001'] }]);
  for (const list of all) await list.stop?.();
  assert.deepEqual(readdirSync(dataDir), ['peers.json']);
});

test('parts that were never started stop all the same', async () => {
  const kinds = ['static', 'dns', 'http', 'mdns'] as const;
  const { all } = createBootstrappers(parts, { ...settings, kinds });
  for (const list of all) await list.stop?.();
});
