import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { link, open, readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import type { PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { writeFileAtomically } from '../../base/atomic-file.ts';
import { dataDirError, makeDataDirectory } from '../../base/data-directory.ts';
import { codeOf, messageOf, SpegelError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { readSmallFile } from '../../base/read-small-file.ts';
import { MACHINE_ID_FILE, machineFingerprint } from './machine.ts';

/** Name and format (Ed25519 in PEM PKCS#8) are Go Spegel's: a host that migrates keeps its id. */
export const KEY_FILE = 'private.key';
const KEY_MODE = 0o600;
const OTHERS = 0o077;
/** A PEM Ed25519 key has 119 bytes. */
const MAX_KEY_BYTES = 16_384;
/** A file beside the key with the fingerprint of the machine that the key was made for. */
const MACHINE_FILE = 'machine-id';
const MAX_MACHINE_BYTES = 1_024;

export interface IdentityParts {
  readonly log: Logger;
  /** `/etc/machine-id` unless a test says otherwise. */
  readonly machineIdFile?: string | undefined;
}

/**
 * The node's key: from `dataDir`, where it is created if there is none. With an empty `dataDir`, a
 * new key in memory.
 *
 * A key that was made for another machine, which a golden image may contain, is replaced: two hosts
 * with one identity never connect to each other. No other key is replaced, not even one that cannot
 * be used or whose machine is unknown: the old id would stay in every peer's table for a while.
 *
 * Throws SpegelError ERR_DATA_DIR and ERR_IDENTITY.
 */
export async function loadIdentity(
  dataDir: string,
  { log, machineIdFile = MACHINE_ID_FILE }: IdentityParts,
): Promise<PrivateKey> {
  if (dataDir === '') return toLibp2p(generateKeyPairSync('ed25519').privateKey);
  await makeDataDirectory(dataDir);
  const path = join(dataDir, KEY_FILE);
  const machineFile = join(dataDir, MACHINE_FILE);
  const [own, madeFor] = await Promise.all([
    machineFingerprint(machineIdFile),
    readFingerprint(machineFile),
  ]);
  const found = await readKey(path);
  const isOther = own !== undefined && madeFor !== undefined && own !== madeFor;
  if (found !== undefined && isOther) {
    // The machine is written last: a start that ends in between leads to another new key, never to
    // a key of the other machine.
    const { key, isWritten } = await replaceKey(path, found, { log, machineIdFile });
    if (isWritten) await recordMachine(machineFile, own, log);
    return key;
  }
  const key = found ?? (await createKey(dataDir, path));
  if (own !== undefined && own !== madeFor) await recordMachine(machineFile, own, log);
  return key;
}

/**
 * The fingerprint of the machine that the key was made for; undefined if unknown. Never rejects.
 */
async function readFingerprint(path: string): Promise<string | undefined> {
  const text = await readSmallFile(path, MAX_MACHINE_BYTES).catch(() => '');
  // A file that a power cut left incomplete counts as unknown.
  return /^[0-9a-f]{64}$/.exec(text.trim())?.[0];
}

/**
 * Writes for which machine the key was made. Never rejects: without it, a copy of this host is
 * noticed only by a handshake.
 */
async function recordMachine(path: string, fingerprint: string, log: Logger): Promise<void> {
  try {
    await writeFileAtomically(path, `${fingerprint}\n`);
  } catch (error) {
    log.debug('the machine of the identity key was not noted', { path, error: messageOf(error) });
  }
}

/**
 * Replaces the key of another machine. A new key that cannot be written is used until the next
 * start.
 */
async function replaceKey(
  path: string,
  former: PrivateKey,
  { log, machineIdFile }: IdentityParts,
): Promise<{ readonly key: PrivateKey; readonly isWritten: boolean }> {
  const made = generateKeyPairSync('ed25519').privateKey;
  const key = toLibp2p(made);
  const problem = await writeFileAtomically(path, pemOf(made)).then(() => undefined, messageOf);
  log.warn(
    'the identity key was made for another machine, this host is a copy of it: a new key takes its place',
    {
      path,
      peer: idOf(key),
      formerPeer: idOf(former),
      reason: `${machineIdFile} is not that of the machine where the key was made`,
      problem,
    },
  );
  return { key, isWritten: problem === undefined };
}

const idOf = (key: PrivateKey) => peerIdFromPrivateKey(key).toString();

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

/** Creates the key file as a whole or not at all. Of two processes that start at once, one wins. */
async function createKey(dataDir: string, path: string): Promise<PrivateKey> {
  const key = generateKeyPairSync('ed25519').privateKey;
  const temporary = join(dataDir, `.${KEY_FILE}.${randomBytes(6).toString('hex')}`);
  try {
    const file = await open(temporary, 'wx', KEY_MODE);
    try {
      await file.writeFile(pemOf(key));
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

const pemOf = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();

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
