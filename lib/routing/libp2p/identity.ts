import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import type { PrivateKey } from '@libp2p/interface';
import { codeOf, messageOf, SpegelError } from '../../base/errors.ts';

/** File name and format (PEM PKCS#8, Ed25519) are Go Spegel's, so that a host keeps its id when it changes over. */
const KEY_FILE = 'private.key';
const KEY_MODE = 0o600;
const DIR_MODE = 0o700;
const OTHERS = 0o077;
/** A PEM Ed25519 key has 119 bytes. */
const MAX_KEY_BYTES = 16_384;

/**
 * The node's key: the one in `dataDir`, made there when there is none; with an empty `dataDir` a new one that
 * lives in memory. A key that cannot be used is never replaced: a new id leaves a ghost in every peer's table.
 * Throws SpegelError ERR_DATA_DIR and ERR_IDENTITY.
 */
export async function loadIdentity(dataDir: string): Promise<PrivateKey> {
  if (dataDir === '') return toLibp2p(generateKeyPairSync('ed25519').privateKey);
  try {
    await makeDirectory(dataDir);
  } catch (error) {
    throw dataDirError(dataDir, error);
  }
  const path = join(dataDir, KEY_FILE);
  return (await readKey(path)) ?? (await createKey(dataDir, path));
}

/**
 * Makes a directory and those above it. Node's own recursive mkdir never ends where the kernel says ENOENT to
 * each attempt, as below /proc.
 */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: DIR_MODE });
  } catch (error) {
    const parent = dirname(path);
    const code = codeOf(error);
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (code !== 'ENOENT' || parent === path || (await exists(parent))) throw error;
    await makeDirectory(parent);
    await makeDirectory(path);
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function readKey(path: string): Promise<PrivateKey | undefined> {
  let pem: string;
  try {
    const { mode, size } = await stat(path);
    if ((mode & OTHERS) !== 0) {
      const came = (mode & 0o777).toString(8).padStart(4, '0');
      throw identityError(path, 'a file of mode 0600', `mode ${came}`, `chmod 600 ${path}`);
    }
    if (size > MAX_KEY_BYTES) throw notAKey(path, `${size} bytes`);
    pem = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof SpegelError) throw error;
    if (codeOf(error) === 'ENOENT') return undefined;
    throw identityError(path, 'a readable file', messageOf(error), 'check its owner and type');
  }
  return parseKey(path, pem);
}

function parseKey(path: string, pem: string): PrivateKey {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    throw notAKey(path, pem.trim() === '' ? 'an empty file' : 'something else');
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw notAKey(path, `a key of type ${key.asymmetricKeyType}`);
  return toLibp2p(key);
}

/** The whole key appears under its name or nothing does, also when two processes start at once: the first one wins. */
async function createKey(dataDir: string, path: string): Promise<PrivateKey> {
  const key = generateKeyPairSync('ed25519').privateKey;
  const temporary = join(dataDir, `.${KEY_FILE}.${randomBytes(6).toString('hex')}`);
  try {
    const file = await open(temporary, 'wx', KEY_MODE);
    try {
      await file.writeFile(key.export({ type: 'pkcs8', format: 'pem' }));
      await file.sync();
    } finally {
      await file.close();
    }
    await link(temporary, path);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw dataDirError(dataDir, error);
  } finally {
    await unlink(temporary).catch(() => {});
  }
  const written = await readKey(path);
  if (written === undefined) throw dataDirError(dataDir, new Error(`${path} vanished`));
  return written;
}

/** libp2p's raw Ed25519 form is the seed followed by the public key. */
function toLibp2p(key: KeyObject): PrivateKey {
  const { d = '', x = '' } = key.export({ format: 'jwk' });
  return privateKeyFromRaw(
    Buffer.concat([Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url')]),
  );
}

function notAKey(path: string, came: string): SpegelError {
  const expected = 'an Ed25519 private key in PEM (PKCS#8)';
  return identityError(path, expected, came, 'restore it, or remove it to get a new peer id');
}

function identityError(path: string, expected: string, came: string, action: string): SpegelError {
  return new SpegelError(
    'ERR_IDENTITY',
    `identity key ${path}: expected ${expected}, got ${came}; ${action}`,
  );
}

function dataDirError(dataDir: string, cause: unknown): SpegelError {
  return new SpegelError(
    'ERR_DATA_DIR',
    `data directory ${dataDir}: expected a writable directory, got ${messageOf(cause)}; fix it, choose another with --data-dir, or keep nothing on disk with --data-dir ""`,
    { cause },
  );
}
