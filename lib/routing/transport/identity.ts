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

/** File name and format (PEM PKCS#8, Ed25519) are Go Spegel's, so that a host keeps its id when it changes over. */
export const KEY_FILE = 'private.key';
const KEY_MODE = 0o600;
const OTHERS = 0o077;
/** A PEM Ed25519 key has 119 bytes. */
const MAX_KEY_BYTES = 16_384;
/** Beside the key: which machine it was made for. */
const MACHINE_FILE = 'machine-id';
const MAX_MACHINE_BYTES = 1_024;

export interface IdentityParts {
  readonly log: Logger;
  /** `/etc/machine-id` unless a test says otherwise. */
  readonly machineIdFile?: string | undefined;
}

/**
 * The node's key: the one in `dataDir`, made there when there is none; with an empty `dataDir` a
 * new one that lives in memory. A key that was made for another machine, as a golden image brings
 * it, is replaced: two hosts with one identity never meet. No other key is ever replaced, also
 * where it cannot be used or its machine is not known: a new id leaves a ghost in every peer's
 * table. Throws SpegelError ERR_DATA_DIR and ERR_IDENTITY.
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
    // The machine comes last: a start that is cut off in between makes one more key, and none stays
    // the other's.
    const { key, isWritten } = await replaceKey(path, found, { log, machineIdFile });
    if (isWritten) await record(machineFile, own, log);
    return key;
  }
  const key = found ?? (await createKey(dataDir, path));
  if (own !== undefined && own !== madeFor) await record(machineFile, own, log);
  return key;
}

/** The machine that the key was made for; undefined: not known. Never rejects. */
async function readFingerprint(path: string): Promise<string | undefined> {
  const text = await readSmallFile(path, MAX_MACHINE_BYTES).catch(() => '');
  // What a power cut left of it tells nothing.
  return /^[0-9a-f]{64}$/.exec(text.trim())?.[0];
}

/** Never rejects: without it, a copy of this host is noticed only when the two meet. */
async function record(path: string, fingerprint: string, log: Logger): Promise<void> {
  try {
    await writeFileAtomically(path, `${fingerprint}\n`);
  } catch (error) {
    log.debug('the machine of the identity key was not noted', { path, error: messageOf(error) });
  }
}

/**
 * A new key in the place of one that another machine has. Where it cannot be written it lasts until
 * the next start.
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
      peerId: idOf(key),
      formerPeerId: idOf(former),
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

/** The whole key appears under its name or nothing does, also when two processes start at once: the first one wins. */
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
