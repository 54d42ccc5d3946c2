import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { canonicalIp, hostPrefixOf } from '../../lib/base/address.ts';
import { quotaKey } from '../../lib/base/quota-key.ts';

test('a host elsewhere is counted by its network, since it has all addresses of it', () => {
  assert.equal(quotaKey('10.0.0.1'), '10.0.0.1');
  assert.equal(quotaKey('2001:db8::1'), quotaKey('2001:db8::ffff:2'));
  assert.notEqual(quotaKey('2001:db8::1'), quotaKey('2001:db8:0:1::1'));
});

test('neighbours in a network of this host are counted apart', () => {
  const infos = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  const own = infos.find(({ family }) => family === 'IPv6');
  // Loopback at least, where the kernel has IPv6 at all.
  if (own === undefined) return;
  const network = hostPrefixOf(canonicalIp(own.address)).replace(/::\/64$/, '');
  const neighbours = [1, 2].map((host) => canonicalIp(`${network}:0:0:0:${host}`));
  for (const neighbour of neighbours) assert.equal(quotaKey(neighbour), neighbour);
});
