import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { test } from 'node:test';
import { OwnAddresses } from '../../lib/http/own-addresses.ts';

test('loopback and the addresses of the interfaces are ours', () => {
  const info = (address: string) => ({ address }) as NetworkInterfaceInfo;
  let asked = 0;
  const own = new OwnAddresses(() => {
    asked += 1;
    return { eth0: [info('10.1.2.3'), info('fe80::1')], lo: [info('127.0.0.1')] };
  });
  const ours = ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '10.1.2.3'];
  for (const address of [...ours, '::ffff:10.1.2.3', 'fe80::1%eth0', 'FE80::1']) {
    assert.equal(own.has(address), true, address);
  }
  for (const address of ['10.1.2.4', '::ffff:10.1.2.4', 'fe80::2', '', undefined, '128.0.0.1']) {
    assert.equal(own.has(address), false, String(address));
  }
  assert.equal(asked, 1);
});
