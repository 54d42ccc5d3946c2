import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { createLogger, silentLogger } from '../../../lib/base/log.ts';
import { loadIdentity } from '../../../lib/routing/transport/identity.ts';

/** Without a machine-id, unless a test gives one. */
const load = (dataDir: string, machineIdFile = '/nowhere/machine-id', log = silentLogger) =>
  loadIdentity(dataDir, { log, machineIdFile });
const keyId = async (key: Promise<PrivateKey>) => peerIdFromPrivateKey(await key).toString();
const idOf = (dataDir: string) => keyId(load(dataDir));
const dirs: string[] = [];
after(() => Promise.all(dirs.map((dir) => rm(dir, { recursive: true }))));

async function newDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'spegel-identity-'));
  dirs.push(dir);
  return dir;
}

async function withKey(content: string, mode = 0o600): Promise<string> {
  const dir = await newDir();
  await writeFile(join(dir, 'private.key'), content);
  await chmod(join(dir, 'private.key'), mode);
  return dir;
}

test('a key is made once, private, and gives the same id for ever', async () => {
  const dir = join(await newDir(), 'made', 'on', 'demand');
  const id = await idOf(dir);
  assert.equal(await idOf(dir), id);
  assert.equal((await stat(join(dir, 'private.key'))).mode & 0o777, 0o600);
  assert.match(await readFile(join(dir, 'private.key'), 'utf8'), /^-----BEGIN PRIVATE KEY-----\n/);
  assert.deepEqual(await readdir(dir), ['private.key']);
});

test('two processes that start at once get the same key', async () => {
  const dir = await newDir();
  const ids = await Promise.all(Array.from({ length: 8 }, () => idOf(dir)));
  assert.equal(new Set(ids).size, 1);
  assert.deepEqual(await readdir(dir), ['private.key']);
});

test('a known PKCS#8 key gives the id that Go makes of it', async () => {
  const pem =
    '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n';
  // RFC 8032, 7.1, test 1: the public key is d75a9801…; the id is its identity multihash in base58.
  const id = await idOf(await withKey(pem));
  assert.equal(id, '12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV');
});

test('without a data directory each start has a new id', async () => {
  assert.notEqual(await idOf(''), await idOf(''));
});

test('a wrong key file is an error and stays as it is', async () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const cases: [string, number, RegExp][] = [
    ['', 0o600, /expected an Ed25519 private key .* got an empty file; restore it/],
    ['garbage', 0o600, /got something else; restore it/],
    [rsa.export({ type: 'pkcs8', format: 'pem' }).toString(), 0o600, /got a key of type rsa/],
    ['x', 0o644, /expected a file of mode 0600, got mode 0644; chmod 600/],
    ['x'.repeat(20_000), 0o600, /got 20000 bytes/],
  ];
  for (const [content, mode, message] of cases) {
    const dir = await withKey(content, mode);
    await assert.rejects(load(dir), { code: 'ERR_IDENTITY' });
    await assert.rejects(load(dir), message);
    assert.equal(await readFile(join(dir, 'private.key'), 'utf8'), content);
  }
});

test('a data directory that cannot be one is an error', async () => {
  const dir = await withKey('x');
  const error = {
    code: 'ERR_DATA_DIR',
    message: /expected a writable directory, got .*--data-dir ""$/,
  };
  await assert.rejects(load(join(dir, 'private.key')), error);
  await assert.rejects(load('/dev/null/spegel'), error);
});

const MACHINE = '4f2c1ab09d6e4d0b8a7c3e5f6071829a';
const OTHER_MACHINE = '00112233445566778899aabbccddeeff';

/** A file as /etc/machine-id, and a logger that keeps its lines. */
async function machine(text: string) {
  const file = join(await newDir(), 'machine-id');
  await writeFile(file, text);
  const lines: string[] = [];
  return { file, lines, log: createLogger('INFO', (line) => lines.push(line)) };
}

test('a key of another machine is replaced once, with a log line', async () => {
  const dir = await newDir();
  const [first, clone] = [await machine(`${MACHINE}\n`), await machine(`${OTHER_MACHINE}\n`)];
  const id = await keyId(load(dir, first.file, first.log));
  assert.equal(await keyId(load(dir, first.file, first.log)), id);
  assert.deepEqual(first.lines, []);
  const own = await keyId(load(dir, clone.file, clone.log));
  assert.notEqual(own, id);
  assert.equal(await keyId(load(dir, clone.file, clone.log)), own);
  assert.equal(clone.lines.length, 1);
  const { level, msg, peer, formerPeer } = JSON.parse(clone.lines[0] ?? '');
  assert.match(`${level} ${msg}`, /^WARN the identity key was made for another machine/);
  assert.deepEqual([peer, formerPeer], [own, id]);
  for (const name of ['private.key', 'machine-id'])
    assert.equal((await stat(join(dir, name))).mode & 0o777, 0o600);
  assert.deepEqual((await readdir(dir)).sort(), ['machine-id', 'private.key']);
  // machine-id(5): it is confidential.
  assert.doesNotMatch(await readFile(join(dir, 'machine-id'), 'utf8'), /00112233|4f2c1ab0/);
});

for (const [what, text] of Object.entries({
  'not there': undefined,
  empty: '',
  'not set yet': 'uninitialized\n',
  'of zeros': `${'0'.repeat(32)}\n`,
  'something else': 'localhost\n',
  'too long': 'a'.repeat(5_000),
})) {
  test(`a machine-id that says nothing is neither noted nor believed: ${what}`, async () => {
    const { file, lines, log } = await machine(text ?? '');
    if (text === undefined) await rm(file);
    const fresh = await newDir();
    const id = await keyId(load(fresh, file, log));
    assert.deepEqual(await readdir(fresh), ['private.key']);
    // The first boot of a golden image: the machine is known at the next one.
    const set = await machine(`${MACHINE}\n`);
    assert.equal(await keyId(load(fresh, set.file, set.log)), id);
    assert.equal(await keyId(load(fresh, file, log)), id);
    assert.deepEqual(lines.concat(set.lines), []);
    const other = await machine(OTHER_MACHINE);
    assert.notEqual(await keyId(load(fresh, other.file)), id);
  });
}

test('a machine-id in memory is another one after the next boot: it does not count', async (t) => {
  const type = await statfs('/dev/shm').then(
    (found) => found.type,
    () => undefined,
  );
  if (type !== 0x01021994) return t.skip('no file system in memory');
  const shm = await mkdtemp('/dev/shm/spegel-machine-');
  dirs.push(shm);
  const dir = await newDir();
  await writeFile(join(shm, 'machine-id'), MACHINE);
  await load(dir, join(shm, 'machine-id'));
  assert.deepEqual(await readdir(dir), ['private.key']);
});

test('an unreadable note of the machine leaves the key as it is', async () => {
  const dir = await newDir();
  const { file, lines, log } = await machine(MACHINE);
  const id = await keyId(load(dir, file, log));
  for (const text of ['', 'x', 'f'.repeat(4_096)]) {
    await writeFile(join(dir, 'machine-id'), text);
    assert.equal(await keyId(load(dir, file, log)), id);
  }
  assert.deepEqual(lines, []);
});
