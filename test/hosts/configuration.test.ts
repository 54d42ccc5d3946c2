import assert from 'node:assert/strict';
import { chmodSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'toml';
import { CertsDirectory, MIRROR } from './support.ts';

const HARBOR = '[host."https://harbor.corp"]\ncapabilities = ["pull"]\n';
const BLOCK = /^# >>> spegel [0-9a-f]{12}: .*\n[\s\S]*^# <<< spegel\n/m;

/** The text without our block, which must be there once. */
function rest(text: string): string {
  assert.equal(text.split('# >>> spegel').length, 2, text);
  return text.replace(BLOCK, '');
}

/** Tells a login that comes by this file from a client that means the mirror itself. */
const VIA = { 'X-Spegel-Via': 'hosts.toml' };

const docker = { host: 'docker.io', url: 'https://docker.io' };

test('all registries: one file for them, and a block in every registry that has a directory', async (t) => {
  const server = 'server = "https://quay.io"\n';
  const certs = CertsDirectory.make(t, {
    'quay.io/hosts.toml': `${server}\n${HARBOR}`,
    'no registry/hosts.toml': HARBOR,
    'empty.io/': '',
  });
  const { changes, problems } = await certs.configure();
  assert.deepEqual(
    problems.map(({ path }) => path),
    [join(certs.path, 'no registry')],
  );
  assert.deepEqual(
    changes.map(({ path, action }) => [path.slice(certs.path.length + 1), action]),
    [
      ['empty.io/hosts.toml', 'add'],
      ['quay.io/hosts.toml', 'change'],
      ['_default/hosts.toml', 'add'],
    ],
  );
  assert.equal(rest(certs.read('_default/hosts.toml')), '');
  assert.ok(!certs.read('_default/hosts.toml').includes('server'));
  assert.equal(parse(certs.read('empty.io/hosts.toml')).server, 'https://empty.io');
  assert.equal(rest(certs.read('quay.io/hosts.toml')), `${server}\n${HARBOR}`);
  assert.ok(certs.read('quay.io/hosts.toml').startsWith(`${server}\n# >>> spegel`));
  assert.equal(certs.read('no registry/hosts.toml'), HARBOR);
});

test('listed registries: the directory that containerd reads, and the server as it was given', async (t) => {
  const certs = CertsDirectory.make(t, { '10.0.0.8_5000_/hosts.toml': HARBOR, 'quay.io/': '' });
  const registries = [
    docker,
    { host: '10.0.0.8:5000', url: 'http://10.0.0.8:5000' },
    { host: '10.0.0.9:5000', url: 'http://10.0.0.9:5000' },
    { host: '127.0.0.1:5999', url: undefined },
    { host: '[fd00::1]:5000', url: undefined },
  ];
  assert.deepEqual((await certs.configure({ isForAll: false, registries })).problems, []);
  const server = (name: string) => parse(certs.read(`${name}/hosts.toml`)).server;
  assert.equal(server('docker.io'), 'https://registry-1.docker.io');
  assert.equal(server('10.0.0.9:5000'), 'http://10.0.0.9:5000');
  assert.equal(server('[fd00::1]:5000'), 'https://[fd00::1]:5000');
  // A local registry is tried without TLS too, which a server line would end.
  assert.equal(server('127.0.0.1:5999'), undefined);
  assert.equal(rest(certs.read('10.0.0.8_5000_/hosts.toml')), HARBOR);
  assert.ok(!certs.names().includes('10.0.0.8:5000'));
  assert.ok(!certs.names().some((name) => /^(?:_default|quay\.io\/)/.test(name)));
});

test('what the block says', async (t) => {
  const certs = CertsDirectory.make(t);
  const targets = [MIRROR, 'http://10.0.0.1:5000'];
  await certs.configure({ targets, resolveTags: false, dialTimeoutMs: 1500 });
  const { host } = parse(certs.read('_default/hosts.toml'));
  assert.deepEqual(Object.keys(host), targets);
  const { header, ...table } = host[MIRROR];
  assert.deepEqual({ ...table }, { capabilities: ['pull'], dial_timeout: '1.5s' });
  assert.deepEqual({ ...header }, VIA);
});

test('certificates that containerd loads by itself are named in the file that ends that', async (t) => {
  const certificates = {
    'a/ca.crt': '',
    'a/client.cert': '',
    'a/client.key': '',
    'a/both.cert': '',
  };
  const certs = CertsDirectory.make(t, {
    ...certificates,
    'b/hosts.toml': 'server = "https://b"\n',
    'b/ca.crt': '',
    'c/hosts.toml': HARBOR,
    'c/ca.crt': '',
  });
  await certs.configure();
  const a = parse(certs.read('a/hosts.toml'));
  assert.deepEqual(a.ca, ['ca.crt']);
  assert.deepEqual(a.client, [
    ['both.cert', 'both.cert'],
    ['client.cert', 'client.key'],
  ]);
  // containerd before 2.0 rejects a file without hosts, and loads them then.
  assert.deepEqual(parse(certs.read('b/hosts.toml')).ca, ['ca.crt']);
  assert.equal(rest(certs.read('b/hosts.toml')), 'server = "https://b"\n');
  assert.equal(parse(certs.read('c/hosts.toml')).ca, undefined);
});

test('a directory for a listed registry does not take from it what _default says', async (t) => {
  const text = `capabilities = ["pull"]\n${HARBOR}`;
  const certs = CertsDirectory.make(t, { '_default/hosts.toml': text });
  chmodSync(join(certs.path, '_default/hosts.toml'), 0o600);
  await certs.configure({ isForAll: false, registries: [docker] });
  const file = parse(certs.read('docker.io/hosts.toml'));
  assert.deepEqual(Object.keys(file.host), [MIRROR, 'https://harbor.corp']);
  assert.deepEqual(file.capabilities, ['pull']);
  assert.equal(file.server, 'https://registry-1.docker.io');
  // It may hold what others are not to read.
  assert.equal(statSync(join(certs.path, 'docker.io/hosts.toml')).mode & 0o777, 0o600);
  assert.equal(certs.read('_default/hosts.toml'), text);

  certs.write('_default/hosts.toml', `ca = "ca.crt"\n${HARBOR}`);
  await certs.cleanUp();
  const { problems } = await certs.configure({ isForAll: false, registries: [docker] });
  assert.match(problems[0]?.message ?? '', /relative paths/);
});

test('an excluded registry does not get the mirror by _default', async (t) => {
  const certs = CertsDirectory.make(t, { 'quay.io/hosts.toml': HARBOR });
  await certs.configure({ excluded: ['quay.io', 'ghcr.io'] });
  assert.equal(certs.read('quay.io/hosts.toml'), HARBOR);
  assert.ok(certs.names().includes('ghcr.io'));
  assert.ok(!certs.names().includes('ghcr.io/hosts.toml'));
  await certs.cleanUp();
  assert.deepEqual(certs.names(), ['quay.io', 'quay.io/hosts.toml']);

  certs.write('_default/hosts.toml', HARBOR);
  await certs.configure({ excluded: ['ghcr.io'] });
  assert.deepEqual(Object.keys(parse(certs.read('ghcr.io/hosts.toml')).host), [
    'https://harbor.corp',
  ]);
});

test('an excluded registry keeps the certificates that it got from _default', async (t) => {
  const certs = CertsDirectory.make(t, { '_default/ca.crt': '', '_default/a.cert': '' });
  assert.deepEqual((await certs.configure({ excluded: ['ghcr.io'] })).problems, []);
  const file = parse(certs.read('ghcr.io/hosts.toml'));
  const [ca, client] = ['ca.crt', 'a.cert'].map((name) => join(certs.path, '_default', name));
  assert.deepEqual([file.ca, file.client], [[ca], [[client, client]]]);
  assert.equal(file.server, 'https://ghcr.io');
  assert.deepEqual(Object.keys(file.host), []);
});

test('why some containerd will not read a file all the same is said once', async (t) => {
  const certs = CertsDirectory.make(t, {
    'a.io/hosts.toml': `[host."https://b"]\ncapabilities = ["pull", "referrers"]\ndial_timeout = "1"\n`,
    'b.io/hosts.toml': '\uFEFF[host."http://[::1]:1"]\n',
    'd.io/hosts.toml': `server = "https://d"\n${HARBOR}`,
  });
  const { warnings } = await certs.configure();
  assert.deepEqual(
    warnings.map(({ message }) => /referrers|dial_timeout|byte order|IPv6/.exec(message)?.[0]),
    ['referrers', 'dial_timeout', 'byte order', 'IPv6'],
  );
  assert.deepEqual((await certs.configure()).warnings, []);
});

test('of a capability it is said which containerd rejects it', async (t) => {
  const file = (...names: string[]) =>
    `[host."https://b"]\ncapabilities = ${JSON.stringify(names)}\n`;
  const certs = CertsDirectory.make(t, {
    'a.io/hosts.toml': file('Pull', 'Referrers'),
    'b.io/hosts.toml': file('referrers', 'delete'),
    'c.io/hosts.toml': file('pull', 'RESOLVE', 'push'),
  });
  const { warnings } = await certs.configure();
  assert.deepEqual(
    warnings.map(({ message }) => message),
    [
      'containerd before 2.2 rejects the file for the capability referrers',
      'containerd rejects the file for the capability delete',
    ],
  );
});

test('other settings: only our blocks change, and what is not listed any more loses its own', async (t) => {
  const certs = CertsDirectory.make(t, { 'quay.io/hosts.toml': HARBOR });
  await certs.configure();
  await certs.configure({ isForAll: false, registries: [docker], targets: ['http://m:1'] });
  assert.deepEqual(certs.names(), [
    '.spegel',
    'docker.io',
    'docker.io/hosts.toml',
    'quay.io',
    'quay.io/hosts.toml',
  ]);
  assert.equal(certs.read('quay.io/hosts.toml'), HARBOR);
  await certs.configure();
  assert.ok(!certs.names().includes('docker.io'));
});

test('a file with credentials can be read by its owner only, and as before afterwards', async (t) => {
  const certs = CertsDirectory.make(t, { 'quay.io/hosts.toml': HARBOR });
  const mode = (name: string) => statSync(join(certs.path, name)).mode & 0o7777;
  chmodSync(join(certs.path, 'quay.io/hosts.toml'), 0o644);
  await certs.configure({ authorization: 'Basic eDp5' });
  assert.equal(mode('quay.io/hosts.toml'), 0o600);
  assert.equal(mode('_default/hosts.toml'), 0o600);
  const { header } = parse(certs.read('quay.io/hosts.toml')).host[MIRROR];
  assert.deepEqual({ ...header }, { ...VIA, Authorization: 'Basic eDp5' });
  await certs.configure();
  assert.equal(mode('quay.io/hosts.toml'), 0o644);
  await certs.configure({ authorization: 'Basic eDp5' });
  await certs.cleanUp();
  assert.equal(mode('quay.io/hosts.toml'), 0o644);
});

test('who could read certs.d can read what is new in it, whatever the umask', async (t) => {
  const parent = CertsDirectory.make(t);
  const certs = new CertsDirectory(join(parent.path, 'certs.d'));
  const umask = process.umask(0o077);
  t.after(() => process.umask(umask));
  await certs.configure();
  const mode = (name: string) => statSync(join(parent.path, name)).mode & 0o777;
  assert.deepEqual(
    ['certs.d', 'certs.d/_default', 'certs.d/_default/hosts.toml'].map(mode),
    [0o755, 0o755, 0o644],
  );
  assert.equal(mode('certs.d/.spegel'), 0o700);
});

test('a file that cannot be joined is named and left, the others are done', async (t) => {
  const own = `[host.'${MIRROR}']\n`;
  const certs = CertsDirectory.make(t, { 'a.io/hosts.toml': 'x', 'b.io/hosts.toml': own });
  const { changes, problems } = await certs.configure();
  assert.deepEqual(
    problems.map(({ path }) => path),
    [join(certs.path, 'a.io/hosts.toml'), join(certs.path, 'b.io/hosts.toml')],
  );
  assert.equal(changes.length, 1);
  assert.deepEqual([certs.read('a.io/hosts.toml'), certs.read('b.io/hosts.toml')], ['x', own]);
});

test('nothing is written by way of a link', async (t) => {
  const elsewhere = CertsDirectory.make(t, { 'hosts.toml': HARBOR });
  const certs = CertsDirectory.make(t, { 'b.io/hosts.toml': HARBOR, 'c.io/ca.crt': '' });
  symlinkSync(elsewhere.path, join(certs.path, 'a.io'));
  symlinkSync('b.io', join(certs.path, 'd.io'));
  symlinkSync('../b.io/hosts.toml', join(certs.path, 'c.io/hosts.toml'));
  const { problems } = await certs.configure();
  assert.deepEqual(
    problems.map(({ path }) => path),
    [join(certs.path, 'a.io/hosts.toml'), join(certs.path, 'c.io/hosts.toml')],
  );
  assert.equal(elsewhere.read('hosts.toml'), HARBOR);
  // A link to a directory that is mirrored itself is mirrored with it.
  assert.equal(rest(certs.read('d.io/hosts.toml')), HARBOR);
});

test('a dry run writes nothing and says what would be', async (t) => {
  const certs = CertsDirectory.make(t, { 'quay.io/hosts.toml': HARBOR });
  const { changes } = await certs.configure({}, true);
  assert.equal(changes.length, 2);
  assert.deepEqual(certs.names(), ['quay.io', 'quay.io/hosts.toml']);
  assert.equal(certs.read('quay.io/hosts.toml'), HARBOR);
});
