import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  canonicalIp,
  formatHostPort,
  isDnsName,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isUnspecified,
  ownIps,
  parseHostPort,
} from '../../lib/base/address.ts';
import { Backoff } from '../../lib/base/backoff.ts';

test('host:port is parsed with IPv4, bracketed IPv6 and names', () => {
  assert.deepEqual(parseHostPort('10.0.0.1:5000'), { host: '10.0.0.1', port: 5000 });
  assert.deepEqual(parseHostPort('[FD00::0:1]:80'), { host: 'fd00::1', port: 80 });
  assert.deepEqual(parseHostPort('[::ffff:10.0.0.1]:80'), { host: '10.0.0.1', port: 80 });
  assert.deepEqual(parseHostPort('node-1.example:65535'), { host: 'node-1.example', port: 65_535 });
  assert.deepEqual(parseHostPort('fd00::1', 1), { host: 'fd00::1', port: 1 });
  assert.deepEqual(parseHostPort('node1', 1), { host: 'node1', port: 1 });
});

test('what is no host:port is undefined', () => {
  const wrong = [
    '',
    ':',
    ':80',
    'a:',
    'a:0',
    'a:65536',
    'a:b',
    'a b:1',
    '1.2.3.400:1',
    '[10.0.0.1]:1',
  ];
  wrong.push(
    '[::1',
    '::1:',
    'http://a:1',
    'a:1:2',
    '-a:1',
    'a..b:1',
    `${'a'.repeat(64)}:1`,
    '[fe80::1%eth0]:x',
  );
  for (const text of wrong) assert.equal(parseHostPort(text), undefined, text);
  assert.equal(parseHostPort('node1'), undefined);
});

test('a long name that is none is refused quickly', () => {
  const started = Date.now();
  assert.equal(isDnsName(`${'a-'.repeat(120)}!`), false);
  assert.ok(Date.now() - started < 100);
});

test('addresses have one spelling and one class', () => {
  assert.equal(canonicalIp('FE80:0:0::1%eth0'), 'fe80::1');
  assert.equal(canonicalIp('::ffff:127.0.0.1'), '127.0.0.1');
  assert.equal(formatHostPort('fd00::1', 80), '[fd00::1]:80');
  assert.ok(isLoopback('127.8.0.1') && isLoopback('::1') && !isLoopback('10.0.0.1'));
  assert.ok(isLinkLocal('169.254.1.1') && isLinkLocal('fe80::1') && isLinkLocal('febf::1'));
  assert.ok(!isLinkLocal('fec0::1') && !isLinkLocal('10.169.254.1'));
  assert.ok(isUnspecified('0.0.0.0') && isUnspecified('::') && !isUnspecified('::1'));
  assert.ok(isMulticast('224.0.0.1') && isMulticast('255.255.255.255') && isMulticast('ff02::1'));
  assert.ok(!isMulticast('223.1.1.1') && !isMulticast('fd00::1'));
  assert.ok(ownIps().has('127.0.0.1'));
});

test('waits double up to the longest and never exceed it', () => {
  const backoff = new Backoff({ minMs: 50, maxMs: 1_000 });
  for (const full of [50, 100, 200, 400, 800, 1_000, 1_000]) {
    const ms = backoff.next();
    assert.ok(ms >= full / 2 && ms <= full, `${ms} of ${full}`);
  }
  backoff.reset();
  assert.ok(backoff.next() <= 50);
});

test('an endpoint is host and port', () => {
  assert.deepEqual(parseHostPort('10.0.0.1:5000'), { host: '10.0.0.1', port: 5000 });
  assert.deepEqual(parseHostPort('[fd00::1]:80'), { host: 'fd00::1', port: 80 });
  assert.deepEqual(parseHostPort('node-1:1'), { host: 'node-1', port: 1 });
  for (const text of ['', 'a', 'a:', ':80', 'a:0', 'a:65536', 'fd00::1:80', '[fd00::1]', 'a:8x']) {
    assert.equal(parseHostPort(text), undefined, text);
  }
});
