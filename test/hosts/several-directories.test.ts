/**
 * containerd's config_path with several directories: what is in force stays in force, and gets the
 * mirror.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ConfigurationSettings } from '../../lib/hosts/configuration-settings.ts';
import { cleanUpMirrors, configureMirrors, type RunOptions } from '../../lib/hosts/mirrors.ts';
import { ALL, MIRROR } from './support.ts';
import { assertSameTree, directory, file, readTree, type Tree, writeTree } from './tree.ts';

const { signal } = new AbortController();
const HOSTS = 'server = "https://r.example"\n\n[host."https://m.example"]\n';
const CA = file('a certificate');

/** Two directories, `a` and `b`, below one. */
class Pair {
  readonly base: string;
  #paths: readonly string[] = ['a', 'b'];

  constructor(t: TestContext, tree: Tree) {
    this.base = mkdtempSync(join(tmpdir(), 'spegel-pair-'));
    t.after(() => rmSync(this.base, { recursive: true, force: true }));
    writeTree(this.base, tree);
  }

  list(...paths: readonly string[]): this {
    this.#paths = paths;
    return this;
  }

  get #absolute(): string[] {
    return this.#paths.map((path) => join(this.base, path));
  }

  async configure(
    settings: Partial<ConfigurationSettings> = {},
    options: Partial<RunOptions> = {},
  ) {
    const given = { ...ALL, ...settings };
    return this.#said(await configureMirrors(this.#absolute, given, { signal, ...options }));
  }

  async cleanUp() {
    return this.#said(await cleanUpMirrors(this.#absolute, { signal }));
  }

  /** Changes and problems with short paths, sorted. */
  #said({ changes, problems }: Awaited<ReturnType<typeof configureMirrors>>): string[] {
    const short = (path: string) => path.slice(this.base.length + 1);
    return [
      ...changes.map(({ action, path }) => `${action} ${short(path)}`),
      ...problems.map(({ path }) => `left alone ${short(path)}`),
    ].sort();
  }

  tree(): Tree {
    return readTree(this.base);
  }

  /** Files with our block, below `base`. */
  mirrored(): string[] {
    const texts = Object.entries(this.tree()).filter(([path, entry]) => {
      const isHidden = path.includes('.spegel');
      return !isHidden && entry.kind === 'file' && `${entry.data}`.includes(MIRROR);
    });
    return texts.map(([path]) => path).sort();
  }
}

interface Row {
  readonly name: string;
  readonly tree: Tree;
  readonly settings?: Partial<ConfigurationSettings>;
  readonly mirrored: readonly string[];
}

const rows: readonly Row[] = [
  {
    name: 'a registry in the second: its own file, and _default there, too',
    tree: { a: directory(), 'b/r.example/ca.crt': CA },
    mirrored: ['b/_default/hosts.toml', 'b/r.example/hosts.toml'],
  },
  {
    name: 'registries in both',
    tree: { 'a/q.example/hosts.toml': file(HOSTS), 'b/r.example/ca.crt': CA },
    mirrored: ['a/q.example/hosts.toml', 'b/_default/hosts.toml', 'b/r.example/hosts.toml'],
  },
  {
    name: 'one registry in both: the first alone is read',
    tree: { 'a/r.example_5000_/ca.crt': CA, 'b/r.example:5000/hosts.toml': file(HOSTS) },
    mirrored: ['a/r.example_5000_/hosts.toml', 'b/_default/hosts.toml'],
  },
  {
    name: "an administrator's _default in the first hides all of the second",
    tree: { 'a/_default/hosts.toml': file(HOSTS), 'b/r.example/ca.crt': CA },
    mirrored: ['a/_default/hosts.toml'],
  },
  {
    name: "an administrator's _default in the second",
    tree: { 'a/r.example/ca.crt': CA, 'b/_default/hosts.toml': file(HOSTS) },
    mirrored: ['a/r.example/hosts.toml', 'b/_default/hosts.toml'],
  },
  {
    name: 'no second directory',
    tree: { 'a/r.example/ca.crt': CA },
    mirrored: ['a/_default/hosts.toml', 'a/r.example/hosts.toml'],
  },
  {
    name: 'no first directory',
    tree: { 'b/r.example/ca.crt': CA },
    mirrored: ['b/_default/hosts.toml', 'b/r.example/hosts.toml'],
  },
  { name: 'neither', tree: { x: directory() }, mirrored: ['a/_default/hosts.toml'] },
  {
    name: 'named registries, one of which is in the second',
    tree: { a: directory(), 'b/r.example/ca.crt': CA, 'b/other.example/ca.crt': CA },
    settings: {
      isForAll: false,
      registries: ['r.example', 'new.example'].map((host) => ({ host, url: undefined })),
    },
    mirrored: ['b/new.example/hosts.toml', 'b/r.example/hosts.toml'],
  },
  {
    name: 'an excluded registry in the second stays as it is',
    tree: { a: directory(), 'b/r.example/ca.crt': CA },
    settings: { excluded: ['r.example'] },
    mirrored: ['b/_default/hosts.toml'],
  },
];

for (const { name, tree, settings = {}, mirrored } of rows) {
  test(`where blocks go: ${name}`, async (t) => {
    const pair = new Pair(t, tree);
    const before = pair.tree();
    const planned = await pair.configure(settings, { isDryRun: true });
    assertSameTree(pair.tree(), before, 'a dry run writes nothing');
    const done = await pair.configure(settings);
    assert.deepEqual(done, planned);
    assert.deepEqual(
      done,
      mirrored.map((path) => `${tree[path] === undefined ? 'add' : 'change'} ${path}`).sort(),
    );
    assert.deepEqual(pair.mirrored(), mirrored);
    assert.deepEqual(await pair.configure(settings), []);
    await pair.cleanUp();
    assertSameTree(pair.tree(), before, 'after cleanup');
  });
}

test('a link to the other directory is the same directory', async (t) => {
  const pair = new Pair(t, { 'a/r.example/ca.crt': CA });
  symlinkSync('a', join(pair.base, 'b'));
  assert.deepEqual(await pair.configure(), [
    'add a/_default/hosts.toml',
    'add a/r.example/hosts.toml',
  ]);
  assert.deepEqual(await pair.configure(), []);
});

test('what comes into the second later is in force at once, and a _default of the administrator moves ours', async (t) => {
  const pair = new Pair(t, { a: directory(), b: directory() });
  assert.deepEqual(await pair.configure(), ['add b/_default/hosts.toml']);
  writeTree(pair.base, { 'a/_default/hosts.toml': file(HOSTS) });
  assert.deepEqual(await pair.configure(), [
    'change a/_default/hosts.toml',
    'remove b/_default/hosts.toml',
  ]);
  assert.deepEqual(pair.mirrored(), ['a/_default/hosts.toml']);
});

test('a second directory that comes later takes _default over', async (t) => {
  const pair = new Pair(t, { a: directory() });
  await pair.configure();
  assert.deepEqual(pair.mirrored(), ['a/_default/hosts.toml']);
  writeTree(pair.base, { 'b/r.example/ca.crt': CA });
  await pair.configure();
  assert.deepEqual(pair.mirrored(), ['b/_default/hosts.toml', 'b/r.example/hosts.toml']);
});

for (const [name, run] of Object.entries({
  configuration: (pair: Pair) => pair.configure(),
  cleanup: (pair: Pair) => pair.cleanUp(),
})) {
  test(`a directory that is not listed any more: ${name} takes ours out of it`, async (t) => {
    const tree = { 'a/q.example/ca.crt': CA, 'b/r.example/hosts.toml': file(HOSTS) };
    const pair = new Pair(t, tree);
    const before = pair.tree();
    await pair.configure();
    await run(pair.list('a'));
    const wanted = name === 'cleanup' ? [] : ['a/_default/hosts.toml', 'a/q.example/hosts.toml'];
    assert.deepEqual(pair.mirrored(), wanted);
    await pair.cleanUp();
    assertSameTree(pair.tree(), before, 'after cleanup');
  });
}

test('a directory that was listed before anybody wrote down what is', async (t) => {
  const pair = new Pair(t, { a: directory(), b: directory() });
  await pair.list('b').configure();
  const formerPaths = [join(pair.base, 'b')];
  assert.deepEqual(await pair.list('a').configure({}, { formerPaths }), [
    'add a/_default/hosts.toml',
    'remove b/_default/hosts.toml',
  ]);
});

test('a second directory that is none does not stop the first, and is named', async (t) => {
  const pair = new Pair(t, { 'a/r.example/ca.crt': CA, b: file('no directory') });
  const done = ['add a/_default/hosts.toml', 'add a/r.example/hosts.toml', 'left alone b'];
  assert.deepEqual(await pair.configure(), done);
  assert.deepEqual(await pair.configure(), ['left alone b']);
  assert.deepEqual(await pair.cleanUp(), [
    'left alone b',
    'remove a/_default/hosts.toml',
    'remove a/r.example/hosts.toml',
  ]);
});

test('when none of them can be used, the first reason is the error', async (t) => {
  const pair = new Pair(t, { a: file(''), b: file('') });
  await assert.rejects(pair.configure(), {
    code: 'ERR_HOSTS',
    message: /\/a: expected a directory/,
  });
});

test('the first is written down in the journal of each, also where nothing else is', async (t) => {
  const pair = new Pair(t, { a: directory(), 'b/r.example/ca.crt': CA });
  await pair.configure();
  mkdirSync(join(pair.base, 'c'));
  assert.deepEqual(await pair.list('a', 'c').configure(), [
    'add c/_default/hosts.toml',
    'remove b/_default/hosts.toml',
    'remove b/r.example/hosts.toml',
  ]);
});
