/** Trees, and hands in them, that somebody made to do harm. */
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ConfigurationSettings } from '../../lib/hosts/configuration-settings.ts';
import { configureMirrors } from '../../lib/hosts/mirrors.ts';
import { EFFORT } from '../support/effort.ts';
import { ALL, CertsDirectory } from './support.ts';
import { interceptedDisk } from './transaction/mortal-disk.ts';

const HARBOR = '[host."https://harbor.corp"]\n';
const NAME = 'quay.io/hosts.toml';
const { signal } = new AbortController();

/** Configures with something that happens once, just before the first call that `when` tells. */
async function configureWhile(
  certs: CertsDirectory,
  when: (call: string, args: readonly unknown[]) => boolean,
  happen: () => void,
  settings: Partial<ConfigurationSettings> = {},
): Promise<unknown> {
  let isDone = false;
  const disk = interceptedDisk((name, call, args) => {
    if (!isDone && when(name, args)) {
      isDone = true;
      happen();
    }
    return call(...args);
  });
  try {
    await configureMirrors([certs.path], { ...ALL, ...settings }, { signal, disk });
    return undefined;
  } catch (error) {
    return error;
  } finally {
    assert.ok(isDone);
  }
}

const isLink = (name: string) => (call: string, args: readonly unknown[]) =>
  call === 'linkSync' && String(args[0]).endsWith(name);

test('a link that comes in the place of a file spoils nothing', async (t) => {
  const certs = CertsDirectory.make(t, { [NAME]: HARBOR });
  const path = join(certs.path, NAME);
  const error = await configureWhile(certs, isLink(NAME), () => {
    fs.rmSync(path);
    fs.symlinkSync('/etc/hostname', path);
  });
  assert.ok(error instanceof Error);
  fs.rmSync(path);
  certs.write(NAME, HARBOR);
  assert.deepEqual((await certs.configure()).problems, []);
  await certs.cleanUp();
  assert.deepEqual(certs.names(), ['quay.io', NAME]);
});

test('a pipe that comes in the place of a file is not waited for', async (t) => {
  const certs = CertsDirectory.make(t, { [NAME]: HARBOR });
  const path = join(certs.path, NAME);
  const isOpen = (call: string, args: readonly unknown[]) =>
    call === 'openSync' && String(args[0]) === path;
  await configureWhile(certs, isOpen, () => {
    fs.rmSync(path);
    process.getBuiltinModule('node:child_process').execFileSync('mkfifo', [path]);
  });
  assert.ok(fs.lstatSync(path).isFIFO());
});

test('a run that our lock did not see loses nothing to this one', async (t) => {
  const certs = CertsDirectory.make(t, { [NAME]: HARBOR });
  const isKept = (call: string, args: readonly unknown[]) =>
    call === 'linkSync' && /kept-.*-next$/.test(String(args[1]));
  // What the other, which set the file aside, has done by then.
  await configureWhile(certs, isKept, () => {
    const path = join(certs.path, NAME);
    const hidden = join(certs.path, '.spegel');
    fs.renameSync(path, join(hidden, 'kept-of-the-other'));
    fs.writeFileSync(path, '# >>> spegel 000000000000: \n# <<< spegel\n');
    fs.renameSync(join(hidden, 'kept-of-the-other'), keptPath(certs));
  });
  assert.equal(fs.readFileSync(keptPath(certs), 'utf8'), HARBOR);
});

function keptPath(certs: CertsDirectory): string {
  return join(certs.path, '.spegel', 'kept-99034670dfb2');
}

test('a certs.d that was copied or moved is not taken for the one that it was', async (t) => {
  const parent = CertsDirectory.make(t);
  const certs = new CertsDirectory(join(parent.path, 'etc/certs.d'));
  await certs.configure();
  const copy = new CertsDirectory(join(parent.path, 'copy'));
  fs.cpSync(certs.path, copy.path, { recursive: true });
  fs.rmSync(certs.path, { recursive: true });
  fs.mkdirSync(certs.path);
  await copy.cleanUp();
  assert.deepEqual(parent.names(), ['copy', 'etc', 'etc/certs.d']);
});

test('a directory of the same name as ours keeps what is not ours', async (t) => {
  const certs = CertsDirectory.make(t, { '.spegel/notes': 'mine', [NAME]: HARBOR });
  await certs.configure();
  await certs.cleanUp();
  assert.equal(certs.read('.spegel/notes'), 'mine');
  assert.deepEqual(fs.readdirSync(join(certs.path, '.spegel')), ['notes']);
});

test('odd files take neither long nor the others with them', async (t) => {
  const limit = 1024 * 1024;
  const certs = CertsDirectory.make(t, {
    'comments.io/hosts.toml': `${'#\n'.repeat(Math.round((limit / 2) * EFFORT) - 50)}\n${HARBOR}`,
    'deep.io/hosts.toml': `${Array(20_000).fill('a').join('.')} = 1\n`,
    'large.io/hosts.toml': `${HARBOR}# ${'x'.repeat(limit - HARBOR.length - 2)}`,
    'larger.io/hosts.toml': `${HARBOR}# ${'x'.repeat(limit)}`,
    [NAME]: HARBOR,
  });
  fs.writeFileSync(Buffer.from(`${certs.path}/quay.io/notes-\xff`, 'latin1'), '');
  fs.symlinkSync('loop.io', join(certs.path, 'loop.io'));
  const names = ['comments.io', 'deep.io', 'large.io', 'larger.io', 'quay.io'];
  const before = names.map((name) => certs.read(`${name}/hosts.toml`));
  const { problems } = await certs.configure();
  assert.deepEqual(
    problems.map(({ path }) => path.slice(certs.path.length + 1)),
    ['loop.io/hosts.toml', 'deep.io/hosts.toml', 'larger.io/hosts.toml'],
  );
  assert.ok(certs.read(NAME).includes('# >>> spegel'));
  assert.deepEqual((await certs.cleanUp()).problems, []);
  assert.deepEqual(
    names.map((name) => certs.read(`${name}/hosts.toml`)),
    before,
  );
});

test('what somebody leaves in a directory of ours that is just going goes back with it', async (t) => {
  const certs = CertsDirectory.make(t);
  await certs.configure();
  const gone = interceptedDisk((name, call, args) => {
    if (name === 'unlinkSync' && /before-[^/]*\/hosts\.toml$/.test(String(args[0]))) {
      fs.writeFileSync(String(args[0]).replace('hosts.toml', 'my.crt'), 'mine');
    }
    return call(...args);
  });
  const none = { ...ALL, isForAll: false, registries: [] };
  await configureMirrors([certs.path], none, { signal, disk: gone });
  assert.deepEqual(certs.names(), ['_default', '_default/my.crt']);
});
