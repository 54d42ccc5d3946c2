import assert from 'node:assert/strict';
import { hostname, type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { test } from 'node:test';
import type { ListenAddress } from '../../lib/base/address.ts';
import { OwnRegistry } from '../../lib/http/own-registry.ts';

const info = (address: string) => ({ address }) as NetworkInterfaceInfo;
const NAMES = {
  interfaces: () => ({ eth0: [info('10.1.2.3'), info('fd00::3')], lo: [info('127.0.0.1')] }),
  hostname: () => 'Node1.example.com',
  hostsFile: () => `
127.0.0.1  localhost
10.1.2.3   registry.internal mirror   # and not: comment.internal
10.1.2.4   other.internal node2
FD00:0::3  six.internal
`,
};

function are(listener: ListenAddress, expected: boolean, urls: readonly string[]): void {
  const own = new OwnRegistry(listener, NAMES);
  for (const url of urls) assert.equal(own.isAt(new URL(url)), expected, url);
}

test('a registry on all addresses is ours under each name of this host, at its port alone', () => {
  for (const host of ['', '0.0.0.0', '::']) {
    are({ host, port: 5000 }, true, [
      'http://127.0.0.1:5000',
      'https://127.0.0.1:5000/v2',
      'http://127.9.9.9:5000',
      'http://127.1:5000',
      'http://[::1]:5000',
      'http://[::ffff:127.0.0.1]:5000',
      'http://0.0.0.0:5000',
      'http://[::]:5000',
      'http://localhost:5000',
      'http://LOCALHOST.:5000',
      'http://spegel.localhost:5000',
      'http://10.1.2.3:5000/v2',
      'http://[fd00::3]:5000',
      'http://[FD00:0:0::3]:5000',
      'http://node1.example.com:5000',
      'http://NODE1:5000',
      'http://registry.internal:5000',
      'http://Mirror:5000',
      'http://six.internal:5000',
    ]);
    are({ host, port: 5000 }, false, [
      'http://127.0.0.1:5001',
      'http://127.0.0.1',
      'http://10.1.2.4:5000',
      'http://[fd00::4]:5000',
      'http://node2:5000',
      'http://node1.example.org:5000',
      'http://other.internal:5000',
      'http://comment.internal:5000',
      'http://localhost.example.com:5000',
      'http://notlocalhost:5000',
      'https://registry-1.docker.io/v2',
    ]);
  }
});

test('a registry on one address leaves the others of this host to others', () => {
  are({ host: '127.0.0.1', port: 5000 }, true, [
    'http://127.0.0.1:5000',
    'http://localhost:5000',
    'http://0.0.0.0:5000',
    'http://node1:5000',
  ]);
  are({ host: '127.0.0.1', port: 5000 }, false, [
    'http://10.1.2.3:5000',
    'http://127.0.0.2:5000',
    'http://registry.internal:5000',
  ]);
  are({ host: '10.1.2.3', port: 5000 }, true, [
    'http://10.1.2.3:5000',
    'http://registry.internal:5000',
  ]);
  are({ host: '::1', port: 5000 }, true, ['http://localhost:5000', 'http://[::1]:5000']);
  are({ host: '10.1.2.3', port: 5000 }, false, ['http://localhost:5000', 'http://0.0.0.0:5000']);
});

test('a URL without a port has that of its scheme', () => {
  are({ host: '', port: 80 }, true, ['http://127.0.0.1', 'http://127.0.0.1:80']);
  are({ host: '', port: 80 }, false, ['https://127.0.0.1']);
  are({ host: '', port: 443 }, true, ['https://127.0.0.1']);
});

test('of this very host, and without a hosts file', () => {
  const own = new OwnRegistry({ host: '', port: 5000 });
  assert.equal(own.isAt(new URL(`http://${hostname()}:5000`)), true);
  for (const infos of Object.values(networkInterfaces())) {
    const [address] = infos?.filter(({ family }) => family === 'IPv4') ?? [];
    if (address) assert.equal(own.isAt(new URL(`http://${address.address}:5000`)), true);
  }
  const hostsFile = () => {
    throw new Error('ENOENT');
  };
  const without = new OwnRegistry({ host: '', port: 5000 }, { ...NAMES, hostsFile });
  assert.equal(without.isAt(new URL('http://node1:5000')), true);
  assert.equal(without.isAt(new URL('http://mirror:5000')), false);
});
