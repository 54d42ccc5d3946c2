import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { test } from 'node:test';
import { multiaddr } from '@multiformats/multiaddr';
import { registryAddresses } from '../../../lib/routing/libp2p/peer-candidate.ts';
import {
  announceableIps,
  announcedAddresses,
  foundIps,
  givenIps,
  type KernelNetwork,
} from '../../../lib/routing/transport/announced-addresses.ts';

const ip = (address: string): NetworkInterfaceInfo =>
  ({
    address,
    family: address.includes(':') ? 'IPv6' : 'IPv4',
    internal: address.startsWith('127.') || address === '::1',
    netmask: '',
    mac: '',
    cidr: null,
    ...(address.includes(':') ? { scopeid: 0 } : {}),
  }) as NetworkInterfaceInfo;

const HEADER = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n';
const host: KernelNetwork = {
  route4:
    `${HEADER}eth1\t00000000\t0101A8C0\t0003\t0\t0\t200\t00000000\t0\t0\t0\n` +
    'eth0\t00000000\t010014AC\t0003\t0\t0\t100\t00000000\t0\t0\t0\n' +
    'eth2\t00000000\t00000000\t0002\t0\t0\t0\t00000000\t0\t0\t0\n' +
    'docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n',
  route6:
    `${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00 ${'0'.repeat(32)} ffffffff 1 0 00200200 lo\n` +
    `${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00 fe80${'0'.repeat(27)}1 00000400 1 0 00000003 eth0\n`,
  interfaces: {
    lo: [ip('127.0.0.1'), ip('::1')],
    docker0: [ip('172.17.0.1')],
    eth0: [ip('fe80::1'), ip('172.20.0.7'), ip('fd00::7'), ip('172.20.0.8')],
    eth1: [ip('192.168.1.7')],
  },
};
const settings = {
  routerAddress: { host: '', port: 5001 },
  registryPort: 5000,
  advertiseAddresses: [],
};

test('announced is one address per family, that of the default route', () => {
  assert.deepEqual(announcedAddresses(settings, host), [
    '/ip4/172.20.0.7/tcp/5001',
    '/ip6/fd00::7/tcp/5001',
  ]);
});

test('a registry that is not on port 5000 is announced beside the router', () => {
  assert.deepEqual(
    announcedAddresses({ ...settings, registryPort: 30020 }, { ...host, route6: '' }).slice(0, 2),
    ['/ip4/172.20.0.7/tcp/5001', '/ip4/172.20.0.7/tcp/30020/http'],
  );
});

test("the router's own address and the administrator's go before what is found out", () => {
  const at = (address: string) => ({ ...settings, routerAddress: { host: address, port: 5001 } });
  assert.deepEqual(announcedAddresses(at('192.168.1.7'), host), ['/ip4/192.168.1.7/tcp/5001']);
  assert.deepEqual(announcedAddresses(at('127.0.0.1'), host), ['/ip4/127.0.0.1/tcp/5001']);
  assert.deepEqual(announcedAddresses(at('0.0.0.0'), host), ['/ip4/172.20.0.7/tcp/5001']);
  const given = { ...settings, advertiseAddresses: ['203.0.113.9', 'FD00:0::9'] };
  assert.deepEqual(announcedAddresses(given, host), [
    '/ip4/203.0.113.9/tcp/5001',
    '/ip6/fd00::9/tcp/5001',
  ]);
});

test('without a default route it is the first interface that is no bridge, and loopback when there is none', () => {
  const noRoute = { ...host, route4: '', route6: '' };
  assert.deepEqual(announcedAddresses(settings, noRoute), [
    '/ip4/172.20.0.7/tcp/5001',
    '/ip6/fd00::7/tcp/5001',
  ]);
  const { lo, docker0 } = host.interfaces;
  const alone = { ...noRoute, interfaces: { lo, docker0 } };
  assert.deepEqual(announcedAddresses(settings, alone), ['/ip4/127.0.0.1/tcp/5001']);
});

test('an address that is replaced takes its registry along, and the other family stays', () => {
  const replaced = new Map([
    ['172.20.0.7', '192.168.1.7'],
    ['10.0.0.1', '10.0.0.2'],
  ]);
  assert.equal(givenIps(settings), undefined);
  assert.deepEqual(foundIps(settings, host), ['172.20.0.7', 'fd00::7']);
  assert.deepEqual(announcedAddresses({ ...settings, registryPort: 30020 }, host, replaced), [
    '/ip4/192.168.1.7/tcp/5001',
    '/ip4/192.168.1.7/tcp/30020/http',
    '/ip6/fd00::7/tcp/5001',
    '/ip6/fd00::7/tcp/30020/http',
  ]);
});

test('what the settings name is not replaced', () => {
  const replaced = new Map([['172.20.0.7', '192.168.1.7']]);
  for (const given of [
    { ...settings, advertiseAddresses: ['172.20.0.7'] },
    { ...settings, routerAddress: { host: '172.20.0.7', port: 5001 } },
  ]) {
    assert.deepEqual(givenIps(given), ['172.20.0.7']);
    assert.deepEqual(announcedAddresses(given, host, replaced), ['/ip4/172.20.0.7/tcp/5001']);
  }
});

test('no address of a bridge, of loopback or of the link alone may take the place of another', () => {
  assert.deepEqual(
    [...announceableIps(host)],
    ['172.20.0.7', 'fd00::7', '172.20.0.8', '192.168.1.7'],
  );
});

const registry = (
  addresses: string[],
  ours: boolean | undefined,
  registryPort = 30020,
  loopback = false,
) =>
  registryAddresses(
    addresses.map((text) => multiaddr(text).bytes),
    ours,
    { registryPort, isLoopbackAllowed: loopback },
  );

test('a registry is where /http says, else on 5000 for ours and on our own port for others', () => {
  const router = '/ip4/10.0.0.1/tcp/5001';
  assert.deepEqual(registry([router, '/ip4/10.0.0.1/tcp/7000/http'], true), ['10.0.0.1:7000']);
  assert.deepEqual(registry([router, '/ip6/fd00::1/tcp/5001'], true), [
    '10.0.0.1:5000',
    '[fd00::1]:5000',
  ]);
  assert.deepEqual(registry([router], false), ['10.0.0.1:30020']);
  assert.deepEqual(registry([router], undefined), ['10.0.0.1:30020', '10.0.0.1:5000']);
  assert.deepEqual(registry([router], undefined, 5000), ['10.0.0.1:5000']);
  assert.deepEqual(
    registry([`${router}/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp`], true),
    ['10.0.0.1:5000'],
  );
});

test('addresses that mean another host to everyone are refused, and names are not resolved', () => {
  const bad = [
    '/ip4/0.0.0.0/tcp/1',
    '/ip6/::/tcp/1',
    '/ip4/169.254.169.254/tcp/1',
    '/ip6/fe80::1/tcp/1',
  ];
  bad.push('/ip4/224.0.0.1/tcp/1', '/dns4/localhost/tcp/1', '/ip6/::ffff:169.254.1.1/tcp/1');
  assert.deepEqual(registry(bad, true, 5000, true), []);
  const loopback = ['/ip4/127.0.0.1/tcp/1', '/ip6/::1/tcp/1', '/ip6/::ffff:127.0.0.1/tcp/1/http'];
  assert.deepEqual(registry(loopback, true), []);
  assert.deepEqual(registry(loopback.slice(0, 2), true, 5000, true), [
    '127.0.0.1:5000',
    '[::1]:5000',
  ]);
  assert.deepEqual(
    registryAddresses([Uint8Array.from([1, 2, 3])], true, {
      registryPort: 1,
      isLoopbackAllowed: true,
    }),
    [],
  );
  const many = Array.from({ length: 16 }, (_, index) => `/ip4/10.0.0.${index}/tcp/1`);
  assert.equal(registry(many, true).length, 4);
});
