import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { restoreGoBackup } from '../../../lib/hosts/go-spegel/backup.ts';
import { DISK, type Disk } from '../../../lib/hosts/transaction/disk.ts';
import {
  ADMINISTRATORS,
  EDITED,
  expected,
  type Files,
  GO,
  go,
  LATER,
  LOCAL,
  look,
  make,
  makeDirectory,
  PRIVATE,
  write,
} from './go-spegel.ts';

const paths = ({ kept }: { kept: { path: string }[] }) => kept.map(({ path }) => path).sort();

test('the content of _backup returns as it was, and nothing else is left', (t) => {
  const root = make(makeDirectory(t), ADMINISTRATORS, GO);
  const report = restoreGoBackup(root, DISK);
  assert.deepEqual(look(root), expected(t, ADMINISTRATORS));
  assert.equal(report.hasBackup, true);
  assert.deepEqual(report.kept, []);
  assert.deepEqual(report.removed, [
    '_default/hosts.toml',
    'ghcr.io/hosts.toml',
    'linked.example/hosts.toml',
    'new.example:5000/hosts.toml',
  ]);
  assert.ok(report.restored.includes('private.example/hosts.toml'));
  assert.ok(report.restored.includes('unmirrored.example'));
  // Again: a hosts.toml in Go Spegel's form that was restored is the administrator's.
  const second = { hasBackup: false, restored: [], removed: [], doubt: undefined, kept: [] };
  assert.deepEqual(restoreGoBackup(root, DISK), second);
  assert.deepEqual(look(root), expected(t, ADMINISTRATORS));
});

test('files that were added later stay', (t) => {
  const root = make(makeDirectory(t), ADMINISTRATORS, GO, LATER);
  const report = restoreGoBackup(root, DISK);
  assert.deepEqual(report.kept, []);
  assert.deepEqual(look(root), expected(t, ADMINISTRATORS, LATER));
});

test('an edited file stays, and what was there before it stays in _backup', (t) => {
  const root = make(makeDirectory(t), ADMINISTRATORS, GO, EDITED);
  const report = restoreGoBackup(root, DISK);
  assert.deepEqual(paths(report), [
    '_backup/docker.io/hosts.toml',
    'docker.io/hosts.toml',
    'new.example:5000/hosts.toml',
  ]);
  const { 'docker.io/hosts.toml': before, ...others } = ADMINISTRATORS;
  const rest: Files = {
    '_backup/.spegel-restoring': null,
    '_backup/docker.io/hosts.toml': before ?? '',
  };
  const tree = look(root);
  assert.match(tree['_backup/.spegel-restoring'] ?? '', /^40700 /);
  fs.chmodSync(join(root, '_backup/.spegel-restoring'), 0o755);
  assert.deepEqual(look(root), expected(t, others, EDITED, rest));
  // Again: nothing happens, in particular not to what was restored and is in Go Spegel's form.
  const untouched = look(root);
  const second = restoreGoBackup(root, DISK);
  assert.deepEqual([second.restored, second.removed], [[], []]);
  assert.deepEqual(paths(second), ['_backup/docker.io/hosts.toml', 'docker.io/hosts.toml']);
  assert.deepEqual(look(root), untouched);
  // When the file is out of the way, the rest returns.
  fs.rmSync(join(root, 'docker.io/hosts.toml'));
  assert.deepEqual(restoreGoBackup(root, DISK).restored, ['docker.io/hosts.toml']);
  const { 'new.example:5000/hosts.toml': stays = '' } = EDITED;
  const now = expected(t, ADMINISTRATORS, { 'new.example:5000/hosts.toml': stays });
  assert.deepEqual(look(root), now);
});

test('things of another kind are in the way, and stay', (t) => {
  const root = makeDirectory(t);
  const before = { a: 'a file', 'b/hosts.toml': 'b', c: { link: 'a' }, 'd/e': 'e', f: 'f' };
  const later = {
    'a/hosts.toml': 'a',
    b: 'b',
    c: 'not a file',
    d: { link: 'a' },
    f: { link: 'b' },
  };
  make(root, before, { 'ghcr.io/hosts.toml': go('https://ghcr.io') }, later);
  const report = restoreGoBackup(root, DISK);
  const names = Object.keys(before).map((name) => name.charAt(0));
  assert.deepEqual(paths(report), [...names.map((name) => `_backup/${name}`), ...names]);
  assert.equal(fs.readFileSync(join(root, '_backup/d/e'), 'utf8'), 'e');
  assert.equal(fs.existsSync(join(root, 'ghcr.io')), false);
});

test('a _backup that is none: nothing is touched', (t) => {
  for (const entry of ['a file', { link: 'elsewhere' }, undefined]) {
    const root = makeDirectory(t);
    write(root, {
      'elsewhere/docker.io/hosts.toml': 'x',
      'ghcr.io/hosts.toml': go('https://ghcr.io'),
    });
    if (entry !== undefined) write(root, { _backup: entry });
    const before = look(root);
    const nothing = { hasBackup: false, restored: [], removed: [], doubt: undefined, kept: [] };
    assert.deepEqual(restoreGoBackup(root, DISK), nothing);
    assert.deepEqual(look(root), before);
  }
  const absent = join(makeDirectory(t), 'absent');
  assert.equal(restoreGoBackup(absent, DISK).hasBackup, false);
});

test("an administrator's own _backup is not touched", (t) => {
  for (const change of [{}, { 'docker.io/hosts.toml': '# changed since' }]) {
    const root = makeDirectory(t);
    write(root, { 'docker.io/hosts.toml': 'x', 'private.example/hosts.toml': [PRIVATE, 0o600] });
    fs.cpSync(join(root, 'docker.io'), join(root, '_backup/docker.io'), { recursive: true });
    write(root, change);
    const before = look(root);
    const report = restoreGoBackup(root, DISK);
    assert.match(report.doubt ?? '', /docker\.io\/hosts\.toml exists/);
    assert.deepEqual(look(root), before);
  }
});

test("Go Spegel's files were removed by hand: the rest returns", (t) => {
  const emptied = { 'docker.io': null, '_default/': null } as Files;
  const root = make(makeDirectory(t), ADMINISTRATORS, {}, emptied);
  assert.deepEqual(restoreGoBackup(root, DISK).kept, []);
  const left = { ...expected(t, ADMINISTRATORS, { _default: null }) };
  assert.deepEqual(look(root), left);
});

test('a host that had nothing has nothing again', (t) => {
  const root = make(makeDirectory(t), {}, { '_default/hosts.toml': LOCAL });
  assert.deepEqual(restoreGoBackup(root, DISK).removed, ['_default/hosts.toml']);
  assert.deepEqual(look(root), {});
});

test('names need not be UTF-8, and two names may be of one file', (t) => {
  const root = make(makeDirectory(t), ADMINISTRATORS, GO);
  for (const directory of ['_backup/', '_backup/private.example/', 'private.example/']) {
    const name = Buffer.from([0xff, 0x41, 0xfe]);
    fs.writeFileSync(Buffer.concat([Buffer.from(join(root, directory)), name]), 'bytes');
  }
  fs.rmSync(join(root, 'private.example/ca.crt'));
  fs.linkSync(join(root, '_backup/private.example/ca.crt'), join(root, 'private.example/ca.crt'));
  assert.deepEqual(restoreGoBackup(root, DISK).kept, []);
  const tree = look(root);
  for (const name of ['\xffA\xfe', 'private.example/\xffA\xfe']) {
    assert.match(tree[name] ?? '', /bytes$/);
    delete tree[name];
  }
  assert.deepEqual(tree, expected(t, ADMINISTRATORS));
});

test('an error of the disk comes as it is, and a later run completes', (t) => {
  const root = make(makeDirectory(t), ADMINISTRATORS, GO);
  const busy = Object.assign(new Error('EBUSY'), { code: 'EBUSY' });
  const disk: Disk = {
    ...DISK,
    renameSync: (from, to) => {
      if (to.toString().endsWith('quay.io')) throw busy;
      DISK.renameSync(from, to);
    },
  };
  assert.throws(() => restoreGoBackup(root, disk), busy);
  restoreGoBackup(root, DISK);
  assert.deepEqual(look(root), expected(t, ADMINISTRATORS));
});
