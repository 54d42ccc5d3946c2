import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { loadIdentity } from '../../../lib/routing/libp2p/identity.ts';

const idOf = async (dataDir: string) =>
  peerIdFromPrivateKey(await loadIdentity(dataDir)).toString();
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

test('two that start at once get the same key', async () => {
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
    await assert.rejects(loadIdentity(dir), { code: 'ERR_IDENTITY' });
    await assert.rejects(loadIdentity(dir), message);
    assert.equal(await readFile(join(dir, 'private.key'), 'utf8'), content);
  }
});

test('a data directory that cannot be one is an error', async () => {
  const dir = await withKey('x');
  const error = {
    code: 'ERR_DATA_DIR',
    message: /expected a writable directory, got .*--data-dir ""$/,
  };
  await assert.rejects(loadIdentity(join(dir, 'private.key')), error);
  await assert.rejects(loadIdentity('/dev/null/spegel'), error);
});
