import assert from 'node:assert/strict';
import { chmodSync, cpSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SpegelError } from '../../lib/base/errors.ts';
import { CertsDirectory, MIRROR } from './support.ts';

const HARBOR = '[host."https://harbor.corp"]\ncapabilities = ["pull"]\n';
const NAME = 'quay.io/hosts.toml';

test('a file that nobody touched is the very same file again', async (t) => {
  const certs = CertsDirectory.make(t, { [NAME]: HARBOR });
  const { ino, mtimeMs } = statSync(join(certs.path, NAME));
  await certs.configure();
  await certs.configure({ resolveTags: false });
  assert.notEqual(statSync(join(certs.path, NAME)).ino, ino);
  const { changes } = await certs.cleanUp();
  assert.equal(changes.length, 2);
  const after = statSync(join(certs.path, NAME));
  assert.deepEqual([after.ino, after.mtimeMs], [ino, mtimeMs]);
  assert.deepEqual(certs.names(), ['quay.io', NAME]);
  assert.deepEqual((await certs.cleanUp()).changes, []);
});

test('edits stay, and the mode that was given meanwhile', async (t) => {
  const certs = CertsDirectory.make(t, { [NAME]: HARBOR });
  await certs.configure();
  certs.write(NAME, `${certs.read(NAME)}# mine\n`);
  certs.write('_default/ca.crt', 'mine');
  chmodSync(join(certs.path, NAME), 0o640);
  await certs.configure();
  await certs.cleanUp();
  assert.equal(certs.read(NAME), `${HARBOR}# mine\n`);
  assert.equal(statSync(join(certs.path, NAME)).mode & 0o777, 0o640);
  assert.deepEqual(certs.names(), ['_default', '_default/ca.crt', 'quay.io', NAME]);
});

test('what somebody copied of ours goes too, what he removed does not come back', async (t) => {
  const certs = CertsDirectory.make(t, { [NAME]: HARBOR, 'ghcr.io/hosts.toml': HARBOR });
  await certs.configure();
  cpSync(join(certs.path, 'quay.io'), join(certs.path, 'copy.io'), { recursive: true });
  cpSync(join(certs.path, '_default'), join(certs.path, 'new.io'), { recursive: true });
  rmSync(join(certs.path, 'ghcr.io'), { recursive: true });
  await certs.cleanUp();
  assert.equal(certs.read('copy.io/hosts.toml'), HARBOR);
  assert.deepEqual(certs.names(), ['copy.io', 'copy.io/hosts.toml', 'new.io', 'quay.io', NAME]);
});

test('a directory that was not there goes with those above it that we made', async (t) => {
  const parent = CertsDirectory.make(t);
  const certs = new CertsDirectory(join(parent.path, 'etc/containerd/certs.d'));
  await certs.configure();
  assert.deepEqual(certs.names(), ['.spegel', '_default', '_default/hosts.toml']);
  await certs.cleanUp();
  assert.deepEqual(parent.names(), []);

  await certs.configure();
  mkdirSync(join(parent.path, 'etc/containerd/mine'));
  await certs.cleanUp();
  assert.deepEqual(parent.names(), ['etc', 'etc/containerd', 'etc/containerd/mine']);
});

test('what was set aside comes back', async (t) => {
  const certs = CertsDirectory.make(t, { [NAME]: HARBOR, 'quay.io/ca.crt': '' });
  const { ino } = statSync(join(certs.path, NAME));
  await certs.configure({ prependExisting: false });
  assert.ok(!certs.read(NAME).includes('harbor'));
  assert.ok(certs.read(NAME).includes('ca = ["ca.crt"]'));
  await certs.configure({ prependExisting: false, resolveTags: false });
  await certs.cleanUp();
  assert.equal(statSync(join(certs.path, NAME)).ino, ino);

  await certs.configure({ prependExisting: false });
  await certs.configure();
  assert.ok(certs.read(NAME).endsWith(HARBOR));
  await certs.configure({ prependExisting: false });
  rmSync(join(certs.path, 'quay.io'), { recursive: true });
  await certs.cleanUp();
  assert.equal(certs.read(NAME), HARBOR);
});

test('what was set aside and has lost its place is put beside, and that is said', async (t) => {
  const certs = CertsDirectory.make(t, { [NAME]: HARBOR });
  await certs.configure({ prependExisting: false });
  certs.write(NAME, `${certs.read(NAME)}[host."mine"]\n`);
  const { problems } = await certs.configure({ prependExisting: false });
  assert.match(problems[0]?.message ?? '', /hosts\.toml\.before-spegel/);
  assert.equal(certs.read(NAME), '[host."mine"]\n');
  assert.equal(certs.read(`${NAME}.before-spegel`), HARBOR);

  await certs.configure({ prependExisting: false });
  certs.write(NAME, '# all mine\n');
  assert.equal((await certs.cleanUp()).problems.length, 1);
  assert.equal(certs.read(NAME), '# all mine\n');
  assert.equal(certs.read(`${NAME}.before-spegel`), HARBOR);
  assert.equal(certs.read(`${NAME}.before-spegel-2`), '[host."mine"]\n');
  assert.ok(!certs.names().includes('.spegel'));
});

test('a block that was edited is left and named until it can be told apart', async (t) => {
  const certs = CertsDirectory.make(t, { [NAME]: HARBOR });
  await certs.configure();
  const text = certs.read(NAME);
  certs.write(NAME, text.replace('"1s"', '"2s"'));
  const { changes, problems } = await certs.cleanUp();
  assert.deepEqual([changes.length, problems.length], [1, 1]);
  certs.write(NAME, text.replace(/# [<>]{3} spegel.*\n/g, ''));
  const unmarked = await certs.cleanUp();
  assert.match(unmarked.problems[0]?.message ?? '', new RegExp(`marks.*${MIRROR}`));
  certs.write(NAME, text);
  assert.deepEqual((await certs.cleanUp()).problems, []);
  assert.deepEqual(certs.names(), ['quay.io', NAME]);
});

test("a journal that is not ours, or a later version's, ends the run before anything is touched", async (t) => {
  const certs = CertsDirectory.make(t, { [NAME]: HARBOR });
  await certs.configure();
  const text = certs.read(NAME);
  for (const journal of [
    '',
    '{}',
    '{"version":2}',
    '[1',
    certs.read('.spegel/journal.json').slice(9),
  ]) {
    certs.write('.spegel/journal.json', journal);
    await assert.rejects(certs.cleanUp(), (error) => {
      assert.ok(error instanceof SpegelError);
      assert.match(error.message, /journal\.json: expected the journal of this version/);
      return true;
    });
  }
  assert.equal(certs.read(NAME), text);
  // Without any, the marks are enough.
  rmSync(join(certs.path, '.spegel'), { recursive: true });
  assert.deepEqual((await certs.cleanUp()).problems, []);
  assert.equal(certs.read(NAME), HARBOR);
});

test("an administrator's own _backup is no reason to refuse", async (t) => {
  const certs = CertsDirectory.make(t, { [NAME]: HARBOR, '_backup/old.io/hosts.toml': HARBOR });
  assert.deepEqual((await certs.configure()).problems, []);
  assert.ok(certs.names().includes('_backup/old.io/hosts.toml'));
});

test('what Go Spegel moved away is put back first, and our own with it', async (t) => {
  const certs = CertsDirectory.make(t, { [NAME]: HARBOR });
  await certs.configure();
  // As Go Spegel's configuration does it: all is moved, hidden directories too, and one file
  // written.
  const backup = join(certs.path, '_backup');
  for (const name of ['.spegel', '_default', 'quay.io']) {
    cpSync(join(certs.path, name), join(backup, name), { recursive: true });
    rmSync(join(certs.path, name), { recursive: true });
  }
  const tables = `[host.'http://127.0.0.1:30020']\ncapabilities = ['pull', 'resolve']\ndial_timeout = '200ms'`;
  certs.write('_default/hosts.toml', tables);
  await assert.rejects(
    certs.configure(),
    /_backup: expected no settings that Go Spegel moved away/,
  );
  assert.deepEqual((await certs.cleanUp()).problems, []);
  assert.deepEqual(certs.names(), ['quay.io', NAME]);
  assert.equal(certs.read(NAME), HARBOR);
  assert.ok(!existsSync(backup));
});
