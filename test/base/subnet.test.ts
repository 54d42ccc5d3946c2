import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSubnet, Subnets } from '../../lib/base/subnet.ts';

test('ranges and addresses of both families are parsed', () => {
  const cases: [string, string, number][] = [
    ['10.0.3.0/24', '10.0.3.0', 24],
    ['10.0.3.7/24', '10.0.3.7', 24],
    ['10.0.3.7', '10.0.3.7', 32],
    ['0.0.0.0/0', '0.0.0.0', 0],
    ['FD00:0::/8', 'fd00::', 8],
    ['fd00::7', 'fd00::7', 128],
    ['::/0', '::', 0],
    ['::ffff:10.0.3.7', '10.0.3.7', 32],
    ['::ffff:10.0.0.0/104', '10.0.0.0', 8],
    ['::ffff:0.0.0.0/96', '0.0.0.0', 0],
  ];
  for (const [text, address, prefix] of cases) {
    assert.deepEqual(parseSubnet(text), { address, prefix }, text);
  }
});

test('what is no range is undefined', () => {
  const wrong = ['', '/', '10.0.3.0/', '/24', '10.0.3/24', '10.0.3.0/33', '10.0.3.0/-1'];
  const more = [
    '10.0.3.0/08',
    '10.0.3.0/255.255.255.0',
    '10.0.3.0/24/24',
    ' 10.0.3.0',
    '010.0.0.1',
  ];
  const v6 = ['fd00::/129', '[fd00::1]', 'fe80::1%eth0', '::ffff:10.0.0.0/95', 'fd00::/1000'];
  for (const text of [...wrong, ...more, ...v6, 'node-1', '10.0.0.1:5000', '0.0.0.0', '::']) {
    assert.equal(parseSubnet(text), undefined, text);
  }
});

test('an address is in a range or is not', () => {
  const of = (...texts: string[]) =>
    new Subnets(texts.map((text) => parseSubnet(text) ?? assert.fail(text)));
  const some = of('10.0.3.9/24', 'fd00::/8', '192.0.2.1', '::ffff:172.16.0.0/108');
  for (const ip of ['10.0.3.0', '10.0.3.255', 'fd12::1', '192.0.2.1', '172.31.0.1'])
    assert.equal(some.has(ip), true, ip);
  for (const ip of ['10.0.4.0', 'fe80::1', '192.0.2.2', '172.32.0.1', '::1', 'gone', ''])
    assert.equal(some.has(ip), false, ip);
  assert.equal(of('0.0.0.0/0').has('203.0.113.9'), true);
  assert.equal(of('0.0.0.0/0').has('fd00::1'), false);
  assert.equal(of('::/0').has('fd00::1'), true);
  assert.equal(of('::/0').has('203.0.113.9'), false);
  assert.equal(of().has('10.0.3.1'), false);
});
