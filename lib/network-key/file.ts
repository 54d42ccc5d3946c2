import { randomBytes } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { codeOf, messageOf, SpegelError } from '../base/errors.ts';
import { readSmallFile } from '../base/read-small-file.ts';
import { MAX_KEY_FILE_BYTES, MAX_NETWORK_KEYS } from './constants.ts';
import { KEY_BYTES, type NetworkKey, networkKey } from './network-key.ts';

const OTHERS = 0o077;
const HEX_KEY = /^[0-9a-f]{64}$/i;
/** Advice for a host without a key: if it made its own, it would never meet the other hosts. */
const FIRST = "on the first host of a network 'spegel key new' makes one";
const WRONG = `put the key of another host there, or take the file away: ${FIRST}`;
/** The lines before the key in a swarm.key file of libp2p. */
const SWARM_KEY = ['/key/swarm/psk/1.0.0/', '/base16/'];

/** The keys of a file, and a text that changes whenever the file does. */
export interface KeyFile {
  readonly keys: readonly [NetworkKey, ...NetworkKey[]];
  readonly version: string;
}

/** A key, and the lines of the file that hold it, counted from 0. */
export interface KeyLines {
  readonly key: NetworkKey;
  readonly first: number;
  readonly last: number;
}

/**
 * Reads a file of one or two keys, of which the first is used. Only its owner may have access to
 * it. Throws SpegelError ERR_NETWORK_KEY, whose text never contains a key.
 */
export async function readNetworkKeys(path: string): Promise<KeyFile> {
  const { text, version } = await readNetworkKeyText(path);
  return { keys: parseNetworkKeys(path, text), version };
}

/**
 * The text of a key file, which is secret and is not parsed. Only the owner may have access to the
 * file, of at most MAX_KEY_FILE_BYTES. `missing`: what to do where there is no file. Throws as
 * `readNetworkKeys`.
 */
export async function readNetworkKeyText(
  path: string,
  missing = `copy it from another host; ${FIRST}`,
): Promise<{ text: string; version: string }> {
  let version = '';
  const check = (stats: BigIntStats) => {
    assertOwnersAlone(path, stats);
    // Taken before the bytes are read: a later write then changes the version.
    version = versionOf(stats);
  };
  try {
    const text = await readSmallFile(path, MAX_KEY_FILE_BYTES, check);
    return { text, version };
  } catch (error) {
    if (error instanceof SpegelError) throw error;
    if (codeOf(error) === 'ENOENT') {
      throw fileError(path, 'a file', 'none', missing);
    }
    throw fileError(path, 'a readable file', messageOf(error), 'check its owner and type');
  }
}

/** The version of the file as `readNetworkKeys` returns it; undefined if it has no status. */
export async function networkKeysVersion(path: string): Promise<string | undefined> {
  try {
    return versionOf(await stat(path, { bigint: true }));
  } catch {
    return undefined;
  }
}

/**
 * Parses keys: a line of 64 hex digits each, or libp2p's swarm.key form. Comments after `#` and
 * empty lines are skipped. For the error: `path`, and what to do about a wrong text. Throws
 * SpegelError ERR_NETWORK_KEY.
 */
export function parseNetworkKeys(
  path: string,
  text: string,
  action = WRONG,
): [NetworkKey, ...NetworkKey[]] {
  const [first, ...more] = networkKeyLines(path, text, action);
  return [first.key, ...more.map(({ key }) => key)];
}

/** As `parseNetworkKeys`, with the lines of each key. */
export function networkKeyLines(
  path: string,
  text: string,
  action = WRONG,
): [KeyLines, ...KeyLines[]] {
  const wrong = (came: string) => notKeys(path, came, action);
  const keys: KeyLines[] = [];
  let first = 0;
  let swarmLines = 0;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    if (swarmLines === 0) first = index;
    if (line === SWARM_KEY[swarmLines]) {
      swarmLines += 1;
      continue;
    }
    const isWhole = swarmLines === 0 || swarmLines === SWARM_KEY.length;
    if (!HEX_KEY.test(line) || !isWhole) {
      throw wrong(`something else of ${line.length} characters in line ${index + 1}`);
    }
    swarmLines = 0;
    keys.push({ key: networkKey(Buffer.from(line, 'hex')), first, last: index });
  }
  if (swarmLines > 0) throw wrong('the head of a swarm.key without its key');
  return checked(keys, wrong);
}

/** A new key as a line of a key file, which is secret. */
export function newKeyLine(): string {
  return `${randomBytes(KEY_BYTES).toString('hex')}\n`;
}

function checked(
  [first, ...more]: KeyLines[],
  wrong: (came: string) => SpegelError,
): [KeyLines, ...KeyLines[]] {
  if (first === undefined) throw wrong('none');
  if (more.length >= MAX_NETWORK_KEYS) throw wrong(`${more.length + 1} keys`);
  if (more.some(({ key }) => key.dht.equals(first.key.dht))) throw wrong('the same key twice');
  return [first, ...more];
}

function assertOwnersAlone(path: string, stats: BigIntStats): void {
  if (!stats.isFile()) throw fileError(path, 'a file', 'something else', 'name a regular file');
  const mode = Number(stats.mode);
  if ((mode & OTHERS) !== 0) {
    const came = `mode ${(mode & 0o777).toString(8).padStart(4, '0')}`;
    throw fileError(path, 'a file of mode 0600', came, `chmod 600 ${path}`);
  }
  if (stats.size > MAX_KEY_FILE_BYTES) throw notKeys(path, `${stats.size} bytes`);
}

function versionOf({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}

function notKeys(path: string, came: string, action = WRONG): SpegelError {
  const expected = 'one key, or two that differ, each a line of 64 hex digits';
  return fileError(path, expected, came, action);
}

function fileError(path: string, expected: string, came: string, action: string): SpegelError {
  return new SpegelError(
    'ERR_NETWORK_KEY',
    `network key file ${path}: expected ${expected}, got ${came}; ${action}`,
  );
}
