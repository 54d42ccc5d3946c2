/** Real questions to a real DNS server. */
import assert from 'node:assert/strict';
import { Resolver } from 'node:dns/promises';
import { type TestContext, test } from 'node:test';
import type { Answer } from 'dns-packet';
import { silentLogger } from '../../lib/base/log.ts';
import { DnsBootstrapper } from '../../lib/bootstrap/dns.ts';
import { type ResolveName, systemResolver } from '../../lib/bootstrap/resolve.ts';
import { serveDns, type Zone } from '../support/dns-server.ts';

const HOST = 'peers.example';
const SERVICE = `_spegel._tcp.${HOST}`;
const a = (name: string, data: string): Answer => ({ type: 'A', name, ttl: 1, data });
const aaaa = (name: string, data: string): Answer => ({ type: 'AAAA', name, ttl: 1, data });
const srv = (name: string, target: string, port: number): Answer => ({
  type: 'SRV',
  name,
  ttl: 1,
  data: { target, port },
});

/** A zone with these records; a name that has none does not exist. */
function zoneOf(...records: readonly Answer[]): Zone {
  return ({ name, type }) => {
    const known = records.filter((record) => record.name === name);
    return known.length === 0 ? undefined : known.filter((record) => record.type === type);
  };
}

/**
 * A and AAAA come from the test's server, too; the system's resolver cannot be told another one.
 */
async function bootstrapper(t: TestContext, zone: Zone, host = HOST) {
  const servers = [await serveDns(t, zone)];
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers(servers);
  const resolve: ResolveName = (name, family) =>
    family === 4 ? resolver.resolve4(name) : resolver.resolve6(name);
  return new DnsBootstrapper({ log: silentLogger, resolve, servers }, { host, port: 5001 });
}

const found = async (dns: DnsBootstrapper, ms = 5_000) =>
  [...(await dns.addresses(AbortSignal.timeout(ms)))].sort();

test('A, AAAA and SRV records together, each once', async (t) => {
  const dns = await bootstrapper(
    t,
    zoneOf(
      a(HOST, '10.0.0.1'),
      a(HOST, '10.0.0.2'),
      aaaa(HOST, 'fd00::1'),
      srv(SERVICE, 'node1.example', 7001),
      srv(SERVICE, HOST, 5001),
      srv(SERVICE, 'gone.example', 1),
      a('node1.example', '10.0.0.3'),
      aaaa('node1.example', 'fd00::3'),
    ),
  );
  assert.deepEqual(await found(dns), [
    '/ip4/10.0.0.1/tcp/5001',
    '/ip4/10.0.0.2/tcp/5001',
    '/ip4/10.0.0.3/tcp/7001',
    '/ip6/fd00::1/tcp/5001',
    '/ip6/fd00::3/tcp/7001',
  ]);
});

test('a name that is a service itself is asked for as it is', async (t) => {
  const dns = await bootstrapper(
    t,
    zoneOf(srv('_other._tcp.example', HOST, 9), a(HOST, '10.0.0.1')),
    '_other._tcp.example',
  );
  assert.deepEqual(await found(dns), ['/ip4/10.0.0.1/tcp/9']);
});

test('a service that says that there is none has none', async (t) => {
  const dns = await bootstrapper(t, zoneOf(srv(SERVICE, '.', 0), a(HOST, '10.0.0.1')));
  assert.deepEqual(await found(dns), ['/ip4/10.0.0.1/tcp/5001']);
});

for (const type of ['A', 'AAAA', 'SRV'] as const) {
  for (const how of ['hang', 'fail'] as const) {
    test(`${type} questions that ${how} take nothing from the others`, async (t) => {
      const records = zoneOf(
        a(HOST, '10.0.0.1'),
        aaaa(HOST, 'fd00::1'),
        srv(SERVICE, 'node1.example', 7),
        a('node1.example', '10.0.0.2'),
        aaaa('node1.example', 'fd00::2'),
      );
      const zone: Zone = (question) => (question.type === type ? how : records(question));
      const dns = await bootstrapper(t, zone);
      const left = {
        A: ['/ip6/fd00::1/tcp/5001', '/ip6/fd00::2/tcp/7'],
        AAAA: ['/ip4/10.0.0.1/tcp/5001', '/ip4/10.0.0.2/tcp/7'],
        SRV: ['/ip4/10.0.0.1/tcp/5001', '/ip6/fd00::1/tcp/5001'],
      };
      const started = performance.now();
      assert.deepEqual(await found(dns, type === 'SRV' ? 2_000 : 5_000), left[type]);
      assert.ok(performance.now() - started < 4_500);
    });
  }
}

test('nothing at all, and a signal that is aborted already, are no peers and no error', async (t) => {
  const dns = await bootstrapper(t, () => undefined);
  assert.deepEqual(await found(dns), []);
  assert.deepEqual(await dns.addresses(AbortSignal.abort()), []);
});

test('all of a large fleet, in random order, and of a huge one a bounded part', async (t) => {
  const ip = (index: number) => `10.1.${index >> 8}.${index & 255}`;
  const fleet = (size: number) => Array.from({ length: size }, (_, index) => a(HOST, ip(index)));
  const dns = await bootstrapper(t, zoneOf(...fleet(300)));
  const orders = [];
  for (let round = 0; round < 3; round++) {
    orders.push(await dns.addresses(AbortSignal.timeout(5_000)));
  }
  for (const order of orders) assert.equal(new Set(order).size, 300);
  assert.notDeepEqual(orders[0], orders[1]);
  assert.notDeepEqual(orders[1], orders[2]);
  const huge = await bootstrapper(t, zoneOf(...fleet(2_000)));
  assert.equal((await huge.addresses(AbortSignal.timeout(5_000))).length, 1_024);
});

test('the system’s resolver is asked, so /etc/hosts counts; one open question is not asked twice', async () => {
  const resolve = systemResolver();
  const [first, second] = [resolve('localhost', 4), resolve('localhost', 4)];
  assert.equal(first, second);
  assert.deepEqual(await first, ['127.0.0.1']);
  assert.notEqual(resolve('localhost', 4), first);
  const names = Array.from({ length: 40 }, (_, index) => `host${index}.localhost`);
  const all = await Promise.allSettled([...names, 'localhost'].map((name) => resolve(name, 4)));
  assert.deepEqual(all.at(-1), { status: 'fulfilled', value: ['127.0.0.1'] }, 'each has its turn');
});
