/**
 * Entries of a certs.d with which nobody can do anything: they stay, are named, and all else is
 * done.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CertsDirectory, MIRROR } from './support.ts';
import { assertSameTree, readTree } from './tree.ts';

const HOST = '[host."https://m.example"]\n';
const inside = (name: string) => (path: string) => mkdirSync(join(path, name));
const writing = (name: string, data: string | Buffer) => (path: string) => {
  mkdirSync(join(path, 'odd.example'), { recursive: true });
  writeFileSync(join(path, name), data);
};

const odd: Record<string, { make: (path: string) => void; named: string; said: RegExp }> = {
  'a plain file named like a registry': {
    make: (path) => writeFileSync(join(path, 'odd.example'), 'x'),
    named: 'odd.example',
    said: /expected the directory of a registry, got a file/,
  },
  'a fifo named like a registry': {
    make: (path) => spawnSync('mkfifo', [join(path, 'odd.example:5000')]),
    named: 'odd.example:5000',
    said: /got something else/,
  },
  'a plain file in the place of _default': {
    make: (path) => writeFileSync(join(path, '_default'), 'x'),
    named: '_default',
    said: /got a file/,
  },
  'a name that is no registry': {
    make: (path) => {
      inside('odd registry!')(path);
      writeFileSync(join(path, 'odd registry!/hosts.toml'), HOST);
    },
    named: 'odd registry!',
    said: /expected the name of a registry/,
  },
  'a port that no registry has': {
    make: inside('odd.example:99999'),
    named: 'odd.example:99999',
    said: /expected the name of a registry/,
  },
  'a dangling link': {
    make: (path) => symlinkSync('nowhere', join(path, 'odd.example')),
    named: 'odd.example/hosts.toml',
    said: /symbolic link to nothing/,
  },
  'a link to itself': {
    make: (path) => symlinkSync('odd.example', join(path, 'odd.example')),
    named: 'odd.example/hosts.toml',
    said: /symbolic link/,
  },
  'a hosts.toml that is a directory': {
    make: (path) => mkdirSync(join(path, 'odd.example/hosts.toml'), { recursive: true }),
    named: 'odd.example/hosts.toml',
    said: /expected a file/,
  },
  'a hosts.toml that is a fifo': {
    make: (path) => {
      inside('odd.example')(path);
      spawnSync('mkfifo', [join(path, 'odd.example/hosts.toml')]);
    },
    named: 'odd.example/hosts.toml',
    said: /expected a file/,
  },
  'a hosts.toml that is huge': {
    make: writing('odd.example/hosts.toml', Buffer.alloc(5_000_000, '#')),
    named: 'odd.example/hosts.toml',
    said: /expected at most 1048576 bytes/,
  },
  'no UTF-8': {
    make: writing('odd.example/hosts.toml', Buffer.from([0x23, 0xe4, 0x0a])),
    named: 'odd.example/hosts.toml',
    said: /expected UTF-8/,
  },
  'a NUL': {
    make: writing('odd.example/hosts.toml', 'server = "a\0b"\n'),
    named: 'odd.example/hosts.toml',
    said: /expected TOML/,
  },
  'a string that is huge': {
    make: writing('odd.example/hosts.toml', `x = "${'x'.repeat(500_000)}"\n[host."https://a"]\n`),
    named: 'odd.example/hosts.toml',
    said: /expected shorter strings/,
  },
  'arrays in arrays': {
    make: writing(
      'odd.example/hosts.toml',
      `x = ${'['.repeat(20_000)}${']'.repeat(20_000)}\n[host."https://a"]\n`,
    ),
    named: 'odd.example/hosts.toml',
    said: /expected/,
  },
};

for (const [name, { make, named, said }] of Object.entries(odd)) {
  test(`left alone, named, and the rest done: ${name}`, async (t) => {
    const certs = CertsDirectory.make(t, { 'fine.example/hosts.toml': HOST });
    make(certs.path);
    const before = readTree(certs.path);
    const settings = {
      excluded: ['shield.example'],
      registries: [{ host: 'odd.example', url: undefined }],
    };
    const { problems, changes } = await certs.configure(settings);
    // Without a _default that can be read nothing is copied from it.
    const [first, ...others] = problems.map(({ path }) => path);
    assert.equal(first, join(certs.path, named));
    assert.equal(others.length, named === '_default' ? 1 : 0, others.join());
    assert.match(problems[0]?.message ?? '', said);
    assert.ok(certs.read('fine.example/hosts.toml').includes(MIRROR));
    const added = changes.map(({ path }) => path.slice(certs.path.length + 1));
    if (named !== '_default') assert.ok(added.includes('_default/hosts.toml'), added.join());
    const again = await certs.configure(settings);
    assert.deepEqual([again.changes, again.problems], [[], problems]);
    await certs.cleanUp();
    assertSameTree(readTree(certs.path), before, 'after cleanup');
  });
}

test('a note, and a directory of other things, are no mistake', async (t) => {
  const certs = CertsDirectory.make(t, {
    'notes.txt': 'mine',
    'my secrets/password': 'x',
    '.git/config': '',
    'quay.io~': '',
  });
  assert.deepEqual((await certs.configure()).problems, []);
});
