/**
 * nerdctl looks in two directories of its own, listed in containerd's config_path or not, and for a
 * registry without a port first by the name with :443. What it found it goes on to find.
 */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { test } from 'node:test';
import { configureMirrors } from '../../lib/hosts/mirrors.ts';
import { NerdctlHost } from './nerdctl-host.ts';
import { ALL, MIRROR } from './support.ts';
import { assertSameTree, directory, file, readTree, type Tree, writeTree } from './tree.ts';

const { signal } = new AbortController();
const CA = file('a certificate');

test('a registry with certificates in the directory that is not listed', async (t) => {
  const tree = { a: directory(), 'b/r.example:5000/ca.crt': CA, 'b/r.example:5000/c.cert': CA };
  const host = new NerdctlHost(t, tree);
  const before = readTree(host.base);
  assert.deepEqual(await host.configure(), {
    problems: [],
    changes: ['add a/_default/hosts.toml', 'add a/r.example:5000/hosts.toml'],
  });
  const { server, ca, client, host: hosts } = host.read('a/r.example:5000');
  const cert = host.path('b/r.example:5000/c.cert');
  assert.deepEqual(
    [server, ca, client],
    ['https://r.example:5000', [host.path('b/r.example:5000/ca.crt')], [[cert, cert]]],
  );
  assert.deepEqual(Object.keys(hosts), [MIRROR]);
  assert.deepEqual((await host.configure()).changes, []);
  await host.cleanUp();
  assertSameTree(readTree(host.base), before, 'after cleanup');
});

test('what changes there is followed, and goes with it', async (t) => {
  const host = new NerdctlHost(t, { a: directory(), 'b/r.example:5000/ca.crt': CA });
  await host.configure();
  writeTree(host.base, { 'b/r.example:5000/new.crt': CA });
  assert.deepEqual((await host.configure()).changes, ['change a/r.example:5000/hosts.toml']);
  assert.equal((host.read('a/r.example:5000').ca as string[]).length, 2);
  rmSync(host.path('b/r.example:5000'), { recursive: true });
  assert.deepEqual((await host.configure()).changes, ['remove a/r.example:5000/hosts.toml']);
});

test('a hosts.toml there says the same from here', async (t) => {
  const text = 'ca = "own.pem"\n\n[host."https://m.example"]\n  ca = ["one.pem", "/etc/two.pem"]\n';
  const tree = { a: directory(), 'b/r.example:5000/hosts.toml': file(text) };
  const host = new NerdctlHost(t, tree, ['b', 'a']);
  assert.deepEqual((await host.configure()).problems, []);
  const { ca, host: hosts } = host.read('a/r.example:5000');
  assert.equal(ca, host.path('b/r.example:5000/own.pem'));
  assert.deepEqual(Object.keys(hosts), [MIRROR, 'https://m.example']);
  const own = hosts['https://m.example']?.ca;
  assert.deepEqual(own, [host.path('b/r.example:5000/one.pem'), '/etc/two.pem']);
});

test('a registry without a port: nerdctl would find our _default before its directory', async (t) => {
  const text = 'server = "https://r.example"\n\n[host."https://m.example"]\n';
  const host = new NerdctlHost(t, {
    'a/r.example/hosts.toml': file(text),
    'b/s.example/ca.crt': CA,
  });
  const before = readTree(host.base);
  assert.deepEqual((await host.configure()).changes, [
    'add a/_default/hosts.toml',
    'add a/r.example:443/hosts.toml',
    'add a/s.example/hosts.toml',
    'add a/s.example:443/hosts.toml',
    'change a/r.example/hosts.toml',
  ]);
  assert.deepEqual(Object.keys(host.read('a/r.example:443').host), [MIRROR, 'https://m.example']);
  assert.equal(host.read('a/r.example:443').server, 'https://r.example');
  assert.equal(host.read('a/s.example:443').server, 'https://s.example');
  assert.deepEqual((await host.configure()).changes, []);
  await host.cleanUp();
  assertSameTree(readTree(host.base), before, 'after cleanup');
});

test('Docker Hub has no such name', async (t) => {
  const host = new NerdctlHost(t, { 'a/docker.io/ca.crt': CA });
  assert.deepEqual((await host.configure()).changes, [
    'add a/_default/hosts.toml',
    'add a/docker.io/hosts.toml',
  ]);
});

test('named and excluded registries are what nerdctl finds, too', async (t) => {
  const host = new NerdctlHost(t, { a: directory() });
  const registries = [{ host: 'named.example', url: 'http://named.example' }];
  await host.configure({ registries, excluded: ['left.example'] });
  assert.equal(host.read('a/named.example:443').server, 'http://named.example');
  assert.ok(readTree(host.base)['a/left.example:443'], 'an empty one, without the mirror');
  await host.cleanUp();
  assert.deepEqual(Object.keys(readTree(host.base)), ['a']);
});

test('an excluded registry keeps its certificates, and gets no mirror', async (t) => {
  const host = new NerdctlHost(t, { a: directory(), 'b/r.example:5000/ca.crt': CA });
  await host.configure({ excluded: ['r.example:5000'] });
  const { ca, host: hosts } = host.read('a/r.example:5000');
  assert.deepEqual([ca, hosts], [[host.path('b/r.example:5000/ca.crt')], { __proto__: null }]);
});

test('a link to a directory elsewhere is read', async (t) => {
  const host = new NerdctlHost(t, { a: directory(), b: directory(), 'pki/ca.crt': CA });
  symlinkSync('../pki', host.path('b/r.example:5000'));
  assert.deepEqual((await host.configure()).problems, []);
  const ca = [host.path('b/r.example:5000/ca.crt')];
  assert.deepEqual(host.read('a/r.example:5000').ca, ca);
});

const nothing: Record<string, readonly [Tree, (readonly string[])?]> = {
  "the administrator's _default hid it before": [
    {
      'a/_default/hosts.toml': file('[host."https://m.example"]\n'),
      'b/r.example:5000/ca.crt': CA,
    },
  ],
  'it is listed, too: _default is behind it': [
    { a: directory(), 'b/r.example:5000/ca.crt': CA },
    ['a', 'b'],
  ],
  'nerdctl does not come to what is listed': [
    { c: directory(), 'b/r.example:5000/ca.crt': CA },
    ['c'],
  ],
};
for (const [name, [tree, list]] of Object.entries(nothing)) {
  test(`nothing is added: ${name}`, async (t) => {
    const host = new NerdctlHost(t, tree, list);
    const { changes } = await host.configure();
    assert.ok(
      changes.every((change) => /_default|b\/r\.example/.test(change)),
      changes.join(),
    );
  });
}

test('a list in the other order: nerdctl goes by its own', async (t) => {
  const host = new NerdctlHost(t, { a: directory(), 'b/r.example:5000/ca.crt': CA }, ['b', 'a']);
  assert.deepEqual((await host.configure()).changes, [
    'add a/_default/hosts.toml',
    'add a/r.example:5000/hosts.toml',
    'add b/r.example:5000/hosts.toml',
  ]);
});

test('dockerd with registries of its own: nothing is written where it looks', async (t) => {
  const daemon = file('{ "insecure-registries": ["10.0.0.0/8"] }');
  const tree = { a: directory(), 'docker/daemon.json': daemon };
  const host = new NerdctlHost(t, { ...tree, 'docker/certs.d/r.example:5000/ca.crt': CA });
  mkdirSync(host.path('docker/certs.d'), { recursive: true });
  const paths = ['a', 'docker/certs.d'].map((name) => host.path(name));
  const { changes } = await configureMirrors(paths, ALL, { signal, nerdctlPaths: paths });
  assert.deepEqual(changes.map(({ path }) => path.slice(host.base.length + 1)).sort(), [
    'a/_default/hosts.toml',
    'a/r.example:5000/hosts.toml',
  ]);
});
