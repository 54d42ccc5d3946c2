import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'toml';
import type { ConfigurationSettings } from '../../lib/hosts/configuration-settings.ts';
import { cleanUpMirrors, configureMirrors, type HostsOutcome } from '../../lib/hosts/mirrors.ts';
import { EFFORT } from '../support/effort.ts';
import { certsD, OUTSIDE, settings } from './arbitrary.ts';
import {
  assertSameTree,
  inScratch,
  isHidden,
  QUICK_DISK,
  readTree,
  type Tree,
  writeTree,
} from './tree.ts';

/** `make test` has seconds for these. */
const RUNS = { restored: 300, repeatable: 300, independent: 200 } as const;

const signal = new AbortController().signal;
const options = { signal, disk: QUICK_DISK };

/** Runs `body` with certs.d as `tree` says, and something beside it that must not change. */
function withCertsD(tree: Tree, body: (root: string) => Promise<void>): Promise<void> {
  return inScratch(async (base) => {
    writeTree(base, OUTSIDE);
    const root = join(base, 'certs.d');
    writeTree(root, tree);
    const outside = () => readTree(base, (name) => name === 'certs.d');
    const before = outside();
    await body(root);
    assertSameTree(outside(), before, 'outside of certs.d');
  });
}

test('after configuration and cleanup every tree is what it was', async (t) => {
  const numRuns = Math.ceil(RUNS.restored * EFFORT);
  await fc.assert(
    fc.asyncProperty(certsD, settings, fc.boolean(), (tree, given, isTwice) =>
      withCertsD(tree, async (root) => {
        const before = readTree(root);
        await configureMirrors([root], given, options);
        if (isTwice) await configureMirrors([root], given, options);
        await cleanUpMirrors([root], options);
        assertSameTree(readTree(root), before, 'after cleanup');
        const again = await cleanUpMirrors([root], options);
        assert.deepEqual(again.changes, []);
      }),
    ),
    { numRuns },
  );
  t.diagnostic(`${numRuns} trees`);
});

test('a configured tree parses, asks us first, means what it meant, and stays as it is', async (t) => {
  const numRuns = Math.ceil(RUNS.repeatable * EFFORT);
  await fc.assert(
    fc.asyncProperty(certsD, settings, (tree, given) =>
      withCertsD(tree, async (root) => {
        const before = readTree(root);
        const planned = await configureMirrors([root], given, { ...options, isDryRun: true });
        assertSameTree(readTree(root), before, 'after a dry run');
        const outcome = await configureMirrors([root], given, options);
        assert.deepEqual(outcome, planned);
        const after = readTree(root);
        checkMeanings(root, before, after, given, outcome);
        const again = await configureMirrors([root], given, options);
        assert.deepEqual(again.changes, []);
        assert.deepEqual(again.problems, outcome.problems);
        assertSameTree(readTree(root), after, 'after a second run');
      }),
    ),
    { numRuns },
  );
  t.diagnostic(`${numRuns} trees`);
});

test('what former settings left does not matter', async (t) => {
  const numRuns = Math.ceil(RUNS.independent * EFFORT);
  await fc.assert(
    fc.asyncProperty(certsD, settings, settings, (tree, former, given) =>
      withCertsD(tree, async (root) => {
        await configureMirrors([root], given, options);
        const alone = readTree(root, isHidden);
        rmSync(root, { recursive: true });
        writeTree(root, tree);
        await configureMirrors([root], former, options);
        await configureMirrors([root], given, options);
        assertSameTree(readTree(root, isHidden), alone, 'with a history');
      }),
    ),
    { numRuns },
  );
  t.diagnostic(`${numRuns} trees`);
});

type Table = Record<string, unknown>;

/**
 * The registry of a directory as containerd names it; written anew, not taken from the code under
 * test.
 */
function registryOf(name: string): string {
  return name.replace(/^(.*)_(\d+)_$/, '$1:$2').toLowerCase();
}

/** Checks each hosts.toml in which nothing was left alone, against what the settings ask. */
function checkMeanings(
  root: string,
  before: Tree,
  after: Tree,
  given: ConfigurationSettings,
  { problems }: HostsOutcome,
): void {
  const names = new Set(Object.keys(after).map((path) => path.split('/')[0] ?? ''));
  for (const { host } of given.registries) names.add(host);
  if (given.isForAll) names.add('_default');
  const isNamed = (name: string) => {
    return [...names].some((other) => registryOf(other) === name && other in after);
  };
  for (const name of names) {
    const path = `${name}/hosts.toml`;
    const left = problems.find((problem) => dirname(problem.path) === join(root, name));
    const isLeft = left !== undefined;
    const registry = registryOf(name);
    const isMirrored = isMirror(registry, given);
    if (isLeft) {
      assert.deepEqual(after[path], before[path]);
      // test/hosts/ignored-keys.test.ts has the rows of this reason.
      const isAsleep = left.dependsOnVersion === true && given.isContainerd2 !== true;
      assert.ok(isAsleep || !isPlain(name, before, given), `${path} was left alone for no reason`);
    }
    if (isLeft) continue;
    if (after[name]?.kind === 'link') assert.deepEqual(after[name], before[name]);
    else if (isMirrored) checkMirrored(name, before, after, given);
    // A registry in the other spelling of its directory counts as well.
    else if (!isNamed(registry) || name in before) checkSame(name, before, after);
  }
}

/** True where nothing keeps a block from joining what is there. */
function isPlain(name: string, before: Tree, given: ConfigurationSettings): boolean {
  const entry = before[`${name}/hosts.toml`];
  if (before[name]?.kind !== 'directory') return false;
  if (entry === undefined) return true;
  if (entry.kind !== 'file' || typeof entry.data !== 'string') return false;
  const { data } = entry;
  const odd = /^\s*(?:\[\[?\s*host\s*\]|host\s*[.=])|# >>> spegel [0-9a-f]|# <<< spegel/m;
  if (odd.test(data) || given.targets.some((target) => data.includes(target))) return false;
  try {
    return parse(data) !== undefined;
  } catch {
    return false;
  }
}

function isMirror(registry: string, given: ConfigurationSettings): boolean {
  if (!/^(?:_default|[a-z0-9.]+(?::\d+)?|\[::1\]:5000)$/.test(registry)) return false;
  if (registry.startsWith('.') || given.excluded.includes(registry)) return false;
  return given.isForAll || given.registries.some(({ host }) => host === registry);
}

function checkSame(name: string, before: Tree, after: Tree): void {
  const path = `${name}/hosts.toml`;
  if (name in before) assert.deepEqual(after[path], before[path]);
  // The directory of an excluded registry: what `_default` said, without us.
  else assert.deepEqual(meaning(after, path), meaning(before, '_default/hosts.toml'));
}

function checkMirrored(name: string, before: Tree, after: Tree, given: ConfigurationSettings) {
  const path = `${name}/hosts.toml`;
  if (after[name]?.kind === 'file') return;
  const spelling = name.replace(/:(\d+)$/, '_$1_');
  if (!(name in after)) {
    assert.ok(spelling in after, `${name} is missing`);
    return;
  }
  const isThere = name in before;
  const former = meaning(before, isThere ? path : '_default/hosts.toml');
  const { host: was, ...rootWas } =
    isThere && !given.prependExisting ? setAside(name, former, given) : former;
  const { host = {}, ...root } = meaning(after, path);
  const hosts = Object.keys(host as Table);
  assert.deepEqual(hosts.slice(0, given.targets.length), given.targets, path);
  assert.deepEqual(hosts.slice(given.targets.length), Object.keys((was ?? {}) as Table), path);
  for (const [key, value] of Object.entries((was ?? {}) as Table)) {
    assert.deepEqual((host as Table)[key], value);
  }
  for (const target of given.targets) checkTarget((host as Table)[target] as Table, given);
  if (name in before) checkRegistry(name, before, { root, rootWas, hadHosts: was !== undefined });
  const added = Object.keys(root).filter((key) => !(key in rootWas));
  for (const key of added) assert.ok(['server', 'ca', 'client'].includes(key), `${path}: ${key}`);
  for (const [key, value] of Object.entries(rootWas)) assert.deepEqual(root[key], value, path);
}

/**
 * Without its hosts; what it says of the registry itself still holds, unless that was given by URL.
 */
function setAside(name: string, former: Table, given: ConfigurationSettings): Table {
  const registry = name.replace(/_(\d+)_$/, ':$1').toLowerCase();
  const url = given.registries.find(({ host }) => host === registry)?.url;
  return url === undefined ? { ...former, host: undefined } : {};
}

/**
 * What containerd did by itself and a file with hosts ends is written down: certificates, and the
 * server.
 */
function checkRegistry(
  name: string,
  before: Tree,
  { root, rootWas, hadHosts }: { root: Table; rootWas: Table; hadHosts: boolean },
): void {
  const isThere = (before[`${name}/hosts.toml`] as { data?: unknown } | undefined)?.data;
  const beside = Object.entries(before)
    .filter(([path, { kind }]) => dirname(path) === name && kind !== 'directory')
    .map(([path]) => basename(path));
  const cas = beside.filter((other) => other.endsWith('.crt')).sort();
  if (!hadHosts && !('ca' in rootWas)) assert.deepEqual(root.ca ?? [], cas, name);
  const clients = beside.filter((other) => other.endsWith('.cert')).sort();
  if (!hadHosts && !('client' in rootWas)) {
    const pairs = (root.client ?? []) as string[][];
    assert.deepEqual(
      pairs.map(([cert]) => cert),
      clients,
    );
    for (const [, key = ''] of pairs) assert.ok(beside.includes(key), key);
  }
  const isLocalRegistry = /^(?:_default|localhost|127\.|\[::1\])/.test(name);
  if (isThere === undefined && !isLocalRegistry) assert.match(String(root.server), /^https?:\/\//);
}

function checkTarget(table: Table, given: ConfigurationSettings): void {
  assert.deepEqual(table.capabilities, given.resolveTags ? ['pull', 'resolve'] : ['pull']);
  assert.match(String(table.dial_timeout), /^(?:1s|200ms|30s)$/);
  const header = table.header as Table | undefined;
  assert.equal(header?.Authorization, given.authorization);
}

function meaning(tree: Tree, path: string): Table {
  const entry = tree[path];
  if (entry?.kind !== 'file') return {};
  try {
    return parse(String(entry.data)) as Table;
  } catch {
    // What is no TOML says nothing; in a file of ours the first host is missing then.
    return {};
  }
}
