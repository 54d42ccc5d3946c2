import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'toml';
import { CertsDirectory, MIRROR } from './support.ts';

const HARBOR = '[host."https://harbor.corp"]\ncapabilities = ["pull"]\n';

test('what somebody writes into a file of ours takes nothing from it, and is no difference', async (t) => {
  const certs = CertsDirectory.make(t, { 'a.io/ca.crt': '', '_default/hosts.toml': HARBOR });
  const registries = [
    { host: 'a.io', url: 'https://a.io' },
    { host: '10.0.0.9:5000', url: 'http://10.0.0.9:5000' },
  ];
  const settings = { isForAll: false, registries };
  await certs.configure(settings);
  const mine = '\n[host."https://mine"]\n';
  for (const name of ['a.io/hosts.toml', '10.0.0.9:5000/hosts.toml']) {
    certs.write(name, certs.read(name) + mine);
  }
  assert.deepEqual((await certs.configure(settings)).changes, []);
  await certs.configure({ ...settings, resolveTags: false });
  const a = parse(certs.read('a.io/hosts.toml'));
  assert.deepEqual([a.server, a.ca], ['https://a.io', ['ca.crt']]);
  assert.deepEqual(Object.keys(a.host), [MIRROR, 'https://mine']);
  const plain = parse(certs.read('10.0.0.9:5000/hosts.toml'));
  assert.equal(plain.server, 'http://10.0.0.9:5000');
  assert.deepEqual(Object.keys(plain.host), [MIRROR, 'https://harbor.corp', 'https://mine']);
  await certs.cleanUp();
  assert.equal(certs.read('a.io/hosts.toml'), mine);
  assert.deepEqual(
    certs.names().filter((name) => name.startsWith('10')),
    ['10.0.0.9:5000', '10.0.0.9:5000/hosts.toml'],
  );
});

test('a registry that is named by http:// gets that server where its file names none', async (t) => {
  const certs = CertsDirectory.make(t, { '10.0.0.9:5000/hosts.toml': HARBOR });
  const registries = [{ host: '10.0.0.9:5000', url: 'http://10.0.0.9:5000' }];
  await certs.configure({ registries });
  const { server, host } = parse(certs.read('10.0.0.9:5000/hosts.toml'));
  assert.equal(server, 'http://10.0.0.9:5000');
  assert.deepEqual(Object.keys(host), [MIRROR, 'https://harbor.corp']);
  await certs.cleanUp();
  assert.equal(certs.read('10.0.0.9:5000/hosts.toml'), HARBOR);
});

test('hosts are set aside, what a file says of the registry itself is not', async (t) => {
  const root = 'server = "http://a"\nca = "/a.crt"\n';
  const text = `# mine\n${root}${HARBOR}[header]\nx = "y"\n`;
  const certs = CertsDirectory.make(t, { 'a.io/hosts.toml': text, 'b.io/hosts.toml': 'server = ' });
  const { problems } = await certs.configure({ prependExisting: false });
  assert.deepEqual(
    problems.map(({ path }) => path),
    [join(certs.path, 'b.io/hosts.toml')],
  );
  const { host, ...rest } = parse(certs.read('a.io/hosts.toml'));
  assert.deepEqual(Object.keys(host), [MIRROR]);
  assert.deepEqual(
    { ...rest, header: { ...rest.header } },
    {
      server: 'http://a',
      ca: '/a.crt',
      header: { x: 'y' },
    },
  );
  await certs.configure({
    prependExisting: false,
    registries: [{ host: 'a.io', url: 'https://a.io' }],
  });
  assert.equal(parse(certs.read('a.io/hosts.toml')).server, 'https://a.io');
  await certs.cleanUp();
  assert.equal(certs.read('a.io/hosts.toml'), text);
});
