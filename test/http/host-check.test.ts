import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { test } from 'node:test';
import { silentLogger } from '../../lib/base/log.ts';
import { HostCheck } from '../../lib/http/host-check.ts';
import { OwnNames } from '../../lib/http/own-names.ts';

const info = (address: string) => ({ address }) as NetworkInterfaceInfo;

function namesOf(hostname: string, resolvConf = '') {
  return new OwnNames({
    interfaces: () => ({ eth0: [info('10.1.2.3')] }),
    hostname: () => hostname,
    hostsFile: () => `
127.0.0.1 localhost
127.0.1.1 node1.corp.example
10.1.2.3  spegel.example.com   # and not: comment.example.com
10.1.2.4  node2.example.com
`,
    resolvConf: () => resolvConf,
  });
}

const check = new HostCheck({
  log: silentLogger,
  names: namesOf('node1', 'search first.example\nsearch corp.example. lab.example.net\n'),
});

for (const host of [
  undefined,
  '',
  '127.0.0.1',
  '127.0.0.1:5000',
  '[::1]:5000',
  '[fd00::3]',
  '203.0.113.9:31000',
  'localhost:5000',
  'LOCALHOST.',
  'spegel.localhost:5000',
  'node1:5000',
  'Node1.Lab.Example.Net:5000',
  'node1.corp.example:5000',
  'spegel.example.com:5000',
  'mirror:5000',
  'spegel.lan:5000',
  'node7.local',
  'seed.home.arpa',
]) {
  test(`this host is meant by ${host ?? 'no Host at all'}`, () => {
    assert.equal(check.refusal(host, '10.0.0.9'), undefined);
  });
}

for (const host of [
  'evil.example:5000',
  'evil.example.',
  'localhost.evil.example',
  'notlocalhost.com',
  '127.0.0.1.evil.example:5000',
  '127.0.0.1:5000:evil.example',
  'node1.first.example',
  'node2.lab.example.net',
  'node1.evil.example',
  'node2.example.com',
  'comment.example.com',
  'evil.local.example',
  '[::1].evil.example',
  '1.2.3',
  'a b',
]) {
  test(`another host is meant by ${host}`, () => {
    const reason = check.refusal(host, '10.0.0.9') ?? '';
    assert.match(
      reason,
      /^expected an IP address or a name of this host, got ".*"; ask by address/,
    );
    assert.ok(!reason.includes('node1;'), 'it says no name of this host');
  });
}

test('the name of a host in full', () => {
  const names = namesOf('Node1.example.com');
  for (const name of ['node1', 'node1.example.com']) assert.equal(names.has(name), true, name);
  for (const name of ['node2.example.com', 'example.com', 'a.node1.example.com'])
    assert.equal(names.has(name), false, name);
});

test('files that cannot be read say nothing', () => {
  const missing = () => {
    throw new Error('ENOENT');
  };
  const names = new OwnNames({ hostname: () => 'h', hostsFile: missing, resolvConf: missing });
  assert.deepEqual([names.has('h'), names.has('evil.example')], [true, false]);
});

test('the log has each name once a minute, and says what to do', () => {
  const lines: string[] = [];
  const log = { ...silentLogger, warn: (text: string) => lines.push(text) };
  const noisy = new HostCheck({ log, names: namesOf('node1') });
  for (const host of ['evil.example:1', 'evil.example:2', 'other.example'])
    noisy.refusal(host, '10.0.0.9');
  assert.equal(lines.length, 2);
});
