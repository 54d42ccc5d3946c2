import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { test } from 'node:test';
import { restoreGoBackup } from '../../../lib/hosts/go-spegel/backup.ts';
import { DISK } from '../../../lib/hosts/transaction/disk.ts';
import { EFFORT } from '../../support/effort.ts';
import { Killed, mortalDisk } from '../transaction/mortal-disk.ts';
import {
  ADMINISTRATORS,
  EDITED,
  expected,
  type Files,
  GO,
  go,
  LATER,
  look,
  make,
  makeDirectory,
  PRIVATE,
} from './go-spegel.ts';

/** Whether the run came to its end. */
function run(root: string, calls: number): boolean {
  try {
    restoreGoBackup(root, mortalDisk(calls, false));
    return true;
  } catch (error) {
    assert.ok(error instanceof Killed);
    return false;
  }
}

const texts = (tree: Record<string, string>) =>
  new Set(Object.values(tree).map((seen) => seen.slice(seen.indexOf(' ', 8))));

/** Where the only file that tells of Go Spegel is deleted. */
const LITTLE: Files = { 'docker.io/hosts.toml': 'x', 'private.example/hosts.toml': PRIVATE };
const LITTLE_LEFT: Files = {
  'docker.io/hosts.toml': '# mine',
  'private.example/hosts.toml': '# mine, too',
};

const GHCR: Files = { 'ghcr.io/hosts.toml': go('https://ghcr.io') };

for (const [name, administrators, goFiles, later] of [
  ['', ADMINISTRATORS, GO, {}],
  [', with files added later', ADMINISTRATORS, GO, LATER],
  [', with edited files', ADMINISTRATORS, GO, { ...LATER, ...EDITED }],
  [', with little to go by', LITTLE, GHCR, LITTLE_LEFT],
] as const) {
  test(`killed at any call, the next run ends in the same state${name}`, (t) => {
    const start = makeDirectory(t);
    const fresh = () => {
      fs.rmSync(start, { recursive: true });
      fs.mkdirSync(start, { mode: 0o700 });
      return make(start, administrators, goFiles, later);
    };
    const had = texts(expected(t, administrators)).union(texts(expected(t, later)));
    restoreGoBackup(fresh(), DISK);
    const end = look(start);
    let points = 0;
    for (let isDone = false; !isDone; points += Math.ceil(1 / EFFORT)) {
      isDone = run(fresh(), points);
      const killed = look(start);
      assert.ok(had.isSubsetOf(texts(killed)), `at call ${points}`);
      // containerd finds a hosts.toml all the time, for a registry that had one.
      for (const registry of ['docker.io', 'private.example']) {
        assert.ok(`${registry}/hosts.toml` in killed, `${registry} at call ${points}`);
      }
      // The next run is killed, too, somewhere else.
      run(start, (points * 37) % 101);
      restoreGoBackup(start, DISK);
      assert.deepEqual(look(start), end, `at call ${points}`);
    }
    assert.ok(points > 50);
    t.diagnostic(`${points} points`);
  });
}
