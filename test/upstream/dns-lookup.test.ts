import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { lookUpHost } from '../../lib/upstream/dns-lookup.ts';
import { failureOf, UpstreamFailure } from '../../lib/upstream/failure.ts';
import { serveDns, type Zone } from '../support/dns-server.ts';

async function settings(t: TestContext, zone: Zone, hosts = '', resolvConf = '') {
  const dir = await mkdtemp(join(tmpdir(), 'lookup-'));
  t.after(() => rm(dir, { recursive: true }));
  const files = { hosts: join(dir, 'hosts'), resolvConf: join(dir, 'resolv.conf') };
  await writeFile(files.hosts, hosts);
  await writeFile(files.resolvConf, resolvConf);
  return { ...files, servers: [await serveDns(t, zone)] };
}

const ZONE: Zone = ({ name, type }) => {
  if (name.startsWith('hang.')) return 'hang';
  if (name.startsWith('fail.')) return 'fail';
  if (name === 'both.test' && type === 'AAAA') return [{ name, type, data: 'fd00::1' }];
  if (name === 'both.test' || name === 'short.corp.test') {
    return type === 'A' ? [{ name, type: 'A', data: '192.0.2.1' }] : [];
  }
  if (name === 'half.test') return type === 'A' ? [{ name, type, data: '192.0.2.2' }] : 'hang';
  return undefined;
};

test('an address stands for itself', async (t) => {
  const at = await settings(t, ZONE);
  assert.deepEqual(await lookUpHost('192.0.2.7', at), [{ address: '192.0.2.7', family: 4 }]);
  assert.deepEqual(await lookUpHost('fd00::7', at), [{ address: 'fd00::7', family: 6 }]);
});

test('both families alternate, and one without an answer does not affect the other', async (t) => {
  const at = await settings(t, ZONE);
  assert.deepEqual(await lookUpHost('both.test', at), [
    { address: '192.0.2.1', family: 4 },
    { address: 'fd00::1', family: 6 },
  ]);
  assert.deepEqual(await lookUpHost('half.test', at), [{ address: '192.0.2.2', family: 4 }]);
});

test('/etc/hosts comes first, whatever the case of the name', async (t) => {
  const hosts = '# both.test\n10.0.0.1 other Both.Test # a comment\nfd00::9\tboth.test\n';
  const at = await settings(t, ZONE, hosts);
  assert.deepEqual(
    (await lookUpHost('BOTH.test', at)).map(({ address }) => address),
    ['10.0.0.1', 'fd00::9'],
  );
});

test('a short name is searched in the domains of resolv.conf', async (t) => {
  const at = await settings(t, ZONE, '', 'nameserver 127.0.0.1\nsearch nowhere.test corp.test\n');
  assert.deepEqual(await lookUpHost('short', at), [{ address: '192.0.2.1', family: 4 }]);
});

test('a name server that refuses the connection is not a refusal of the registry', async (t) => {
  const at = { ...(await settings(t, ZONE)), servers: ['127.0.0.1:1'] };
  const failure = await lookUpHost('both.test', at).catch(failureOf);
  assert.ok(failure instanceof UpstreamFailure);
  assert.deepEqual([failure.reason, failure.isDefinite], ['timeout', false], failure.message);
});

test('a name that does not exist differs from a name server that fails', async (t) => {
  const at = await settings(t, ZONE);
  await assert.rejects(lookUpHost('nobody.invalid', at), { code: 'ENOTFOUND' });
  await assert.rejects(lookUpHost('fail.test', at), { code: 'ESERVFAIL' });
  await assert.rejects(lookUpHost('no name', at), { code: 'ENOTFOUND' });
});

test('names with a silent name server do not delay other names', async (t) => {
  const at = await settings(t, ZONE);
  const silent = Array.from({ length: 16 }, (_, index) => lookUpHost(`hang.${index}.test`, at));
  const startedAt = performance.now();
  await lookUpHost('both.test', at);
  assert.ok(performance.now() - startedAt < 900);
  for (const outcome of await Promise.allSettled(silent)) assert.equal(outcome.status, 'rejected');
});
