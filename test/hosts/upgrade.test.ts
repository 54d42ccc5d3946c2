/**
 * Blocks that a release before the header wrote, byte for byte, with its journal: what the next run
 * makes of them.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { parse } from 'toml';
import { CertsDirectory, MIRROR } from './support.ts';

const NOTE = `written by 'spegel configuration', taken out by 'spegel cleanup'; do not edit`;
const TABLE = `[host."${MIRROR}"]\ncapabilities = ["pull", "resolve"]\ndial_timeout = "1s"\n`;
const WITH_PASSWORD = `${TABLE}\n[host."${MIRROR}".header]\nAuthorization = "Basic eDp5"\n`;
const END = '# <<< spegel\n';
const BLOCK = `# >>> spegel b722cf7fbc51: ${NOTE}\n${TABLE}${END}`;
const EMPTY = `server = "https://a.io"\n\n${TABLE}`;
const EMPTY_FILE = `# >>> spegel c0b259d15a88: ${NOTE}\n${EMPTY}${END}`;
const SERVER = 'server = "https://quay.io"\n\n';
const HARBOR = '# through the harbor\n[host."https://harbor.corp"]\n  capabilities = ["pull"]\n';

/**
 * What that release left: a file of the administrator's with the block, one in a directory that was
 * empty, one for all registries.
 */
function upgraded(t: TestContext): CertsDirectory {
  const certs = CertsDirectory.make(t, {
    'quay.io/hosts.toml': SERVER + BLOCK + HARBOR,
    'a.io/hosts.toml': EMPTY_FILE,
    '_default/hosts.toml': BLOCK,
  });
  const entry = (body: string) => ({ body, mirrors: [MIRROR], modes: [0o644] });
  const files = {
    'a.io/hosts.toml': entry(EMPTY),
    'quay.io/hosts.toml': { ...entry(TABLE), hadMode: 0o644 },
    '_default/hosts.toml': entry(TABLE),
  };
  const journal = { version: 1, files, directories: ['_default'], roots: [] };
  mkdirSync(join(certs.path, '.spegel'), { mode: 0o700 });
  writeFileSync(join(certs.path, '.spegel/journal.json'), JSON.stringify(journal, null, 2));
  return certs;
}

function headerIn(certs: CertsDirectory, name: string): unknown {
  return parse(certs.read(`${name}/hosts.toml`)).host[MIRROR].header?.['X-Spegel-Via'];
}

test('the next run puts the header into each block, and once', async (t) => {
  const certs = upgraded(t);
  const foreseen = await certs.configure({}, true);
  assert.equal(foreseen.changes.length, 3, '--check says that there is something to do');
  const { changes, problems } = await certs.configure();
  assert.deepEqual(problems, []);
  assert.deepEqual(new Set(changes.map(({ action }) => action)), new Set(['change']));
  for (const name of ['quay.io', 'a.io', '_default'])
    assert.equal(headerIn(certs, name), 'hosts.toml', name);
  const text = certs.read('quay.io/hosts.toml');
  assert.ok(text.startsWith(SERVER) && text.endsWith(HARBOR), text);
  assert.equal(text.split('# >>> spegel').length, 2);
  assert.deepEqual((await certs.configure({}, true)).changes, []);
  await certs.cleanUp();
  assert.deepEqual(certs.names(), ['a.io', 'quay.io', 'quay.io/hosts.toml']);
  assert.equal(certs.read('quay.io/hosts.toml'), SERVER + HARBOR);
});

test('cleanup takes the old blocks out without another run before it', async (t) => {
  const certs = upgraded(t);
  assert.deepEqual((await certs.cleanUp()).problems, []);
  assert.deepEqual(certs.names(), ['a.io', 'quay.io', 'quay.io/hosts.toml']);
  assert.equal(certs.read('quay.io/hosts.toml'), SERVER + HARBOR);
});

test('lines that somebody wrote into an old block stay, behind the new one', async (t) => {
  const certs = upgraded(t);
  const mine = '[host."https://mine.corp"]\ncapabilities = ["pull"]\n';
  certs.write('quay.io/hosts.toml', SERVER + BLOCK.replace(END, mine + END) + HARBOR);
  assert.deepEqual((await certs.configure()).problems, []);
  assert.equal(headerIn(certs, 'quay.io'), 'hosts.toml');
  const { host } = parse(certs.read('quay.io/hosts.toml'));
  assert.deepEqual(Object.keys(host), [MIRROR, 'https://mine.corp', 'https://harbor.corp']);
  await certs.cleanUp();
  assert.equal(certs.read('quay.io/hosts.toml'), SERVER + mine + HARBOR);
});

test('an old block whose own values somebody changed is left as it is, and named', async (t) => {
  const certs = upgraded(t);
  const edited = SERVER + BLOCK.replace('"1s"', '"3s"') + HARBOR;
  certs.write('quay.io/hosts.toml', edited);
  const { problems } = await certs.configure();
  assert.equal(problems.length, 1);
  assert.match(problems[0]?.message ?? '', /our block was edited/);
  assert.equal(certs.read('quay.io/hosts.toml'), edited);
  assert.equal(headerIn(certs, '_default'), 'hosts.toml');
});

test('an old block with the mirror’s password gets both lines in one table', async (t) => {
  const certs = upgraded(t);
  const old = `# >>> spegel 39f1f907c9dc: ${NOTE}\n${WITH_PASSWORD}${END}`;
  certs.write('_default/hosts.toml', old);
  await certs.configure({ authorization: 'Basic eDp5' });
  const { header } = parse(certs.read('_default/hosts.toml')).host[MIRROR];
  assert.deepEqual({ ...header }, { 'X-Spegel-Via': 'hosts.toml', Authorization: 'Basic eDp5' });
});
