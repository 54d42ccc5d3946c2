/** The map of the house (docs/design/house.md) is complete, and leads to files that are there. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const map = readFileSync(join(root, 'docs/design/house.md'), 'utf8');
const named = [...map.matchAll(/`((?:cmd|lib|lab|scripts|test|systemd)\/[\w./-]*)`/g)].map(
  ([, path = '']) => path,
);

test('every room of lib has its line in the map', () => {
  const rooms = globSync('{lib,cmd}/**/', { cwd: root })
    .filter((path) => statSync(join(root, path)).isDirectory() && path !== 'lib' && path !== 'cmd')
    .map((path) => `${path.replace(/\/$/, '')}/`);
  assert.ok(rooms.length > 20);
  assert.deepEqual(
    rooms.filter((room) => !named.includes(room)),
    [],
  );
});

test('every path of the map is there', () => {
  assert.ok(named.length > 40);
  assert.deepEqual(
    named.filter((path) => !existsSync(join(root, path))),
    [],
  );
});
