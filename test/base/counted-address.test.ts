import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { canonicalIp, networkOf } from '../../lib/base/address.ts';
import { countedAddress } from '../../lib/base/counted-address.ts';

test('a host elsewhere is counted by its network, since it has all addresses of it', () => {
  assert.equal(countedAddress('10.0.0.1'), '10.0.0.1');
  assert.equal(countedAddress('2001:db8::1'), countedAddress('2001:db8::ffff:2'));
  assert.notEqual(countedAddress('2001:db8::1'), countedAddress('2001:db8:0:1::1'));
});

test('neighbours in a network of this host are counted apart', () => {
  const infos = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  const own = infos.find(({ family }) => family === 'IPv6');
  // Loopback at least, where the kernel has IPv6 at all.
  if (own === undefined) return;
  const network = networkOf(canonicalIp(own.address)).replace(/::\/64$/, '');
  const neighbours = [1, 2].map((host) => canonicalIp(`${network}:0:0:0:${host}`));
  for (const neighbour of neighbours) assert.equal(countedAddress(neighbour), neighbour);
});
