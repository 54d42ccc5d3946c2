import { randomBytes } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { codeOf, messageOf, SpegelError } from '../base/errors.ts';
import { readSmallFile } from '../base/read-small-file.ts';
import { KEY_BYTES, type NetworkKey, networkKey } from './network-key.ts';

/** Two keys in libp2p's form have 200 bytes; the rest is for comments. */
export const MAX_KEY_FILE_BYTES = 4_096;
const MAX_KEYS = 2;
const OTHERS = 0o077;
const HEX_KEY = /^[0-9a-f]{64}$/i;
/** Two hosts with two keys never meet: a host that is to join must not be told to make one. */
const FIRST = "on the first host of a network 'spegel key new' makes one";
/** The lines before the key in a swarm.key file of libp2p. */
const SWARM_KEY = ['/key/swarm/psk/1.0.0/', '/base16/'];

/** What `readNetworkKeys` found, and what tells whether the file has changed since. */
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
 * Reads a file of one or two keys, the first of which is used. It must be its owner's alone.
 * Throws SpegelError ERR_NETWORK_KEY, which never holds a key.
 */
export async function readNetworkKeys(path: string): Promise<KeyFile> {
  const { text, version } = await readNetworkKeyText(path);
  return { keys: parseNetworkKeys(path, text), version };
}

/**
 * The text of a key file, whatever is in it: a secret. The file must be its owner's alone, and has
 * MAX_KEY_FILE_BYTES at most. Throws as `readNetworkKeys`.
 */
export async function readNetworkKeyText(path: string): Promise<{ text: string; version: string }> {
  let version = '';
  const check = (stats: BigIntStats) => {
    assertOwnersAlone(path, stats);
    // The version comes before the bytes: what is written after it makes another one.
    version = versionOf(stats);
  };
  try {
    const text = await readSmallFile(path, MAX_KEY_FILE_BYTES, check);
    return { text, version };
  } catch (error) {
    if (error instanceof SpegelError) throw error;
    if (codeOf(error) === 'ENOENT') {
      throw fileError(path, 'a file', 'none', `copy it from another host; ${FIRST}`);
    }
    throw fileError(path, 'a readable file', messageOf(error), 'check its owner and type');
  }
}

/** Undefined when the file cannot be seen. */
export async function networkKeysVersion(path: string): Promise<string | undefined> {
  try {
    return versionOf(await stat(path, { bigint: true }));
  } catch {
    return undefined;
  }
}

/**
 * One key a line in 64 hex digits, or libp2p's swarm.key form; `#` comments and empty lines are
 * skipped. `path` is for the error. Throws SpegelError ERR_NETWORK_KEY.
 */
export function parseNetworkKeys(path: string, text: string): [NetworkKey, ...NetworkKey[]] {
  const [first, ...more] = networkKeyLines(path, text);
  return [first.key, ...more.map(({ key }) => key)];
}

/** As `parseNetworkKeys`, with where each key stands. */
export function networkKeyLines(path: string, text: string): [KeyLines, ...KeyLines[]] {
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
      throw notKeys(path, `something else of ${line.length} characters in line ${index + 1}`);
    }
    swarmLines = 0;
    keys.push({ key: networkKey(Buffer.from(line, 'hex')), first, last: index });
  }
  if (swarmLines > 0) throw notKeys(path, 'the head of a swarm.key without its key');
  return checked(path, keys);
}

/** A new key, as a line of a key file: a secret. */
export function newKeyLine(): string {
  return `${randomBytes(KEY_BYTES).toString('hex')}\n`;
}

function checked(path: string, [first, ...more]: KeyLines[]): [KeyLines, ...KeyLines[]] {
  if (first === undefined) throw notKeys(path, 'none');
  if (more.length >= MAX_KEYS) throw notKeys(path, `${more.length + 1} keys`);
  if (more.some(({ key }) => key.dht.equals(first.key.dht)))
    throw notKeys(path, 'the same key twice');
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

function notKeys(path: string, came: string): SpegelError {
  const expected = 'one key, or two that differ, each a line of 64 hex digits';
  const action = `put the key of another host there, or take the file away: ${FIRST}`;
  return fileError(path, expected, came, action);
}

function fileError(path: string, expected: string, came: string, action: string): SpegelError {
  return new SpegelError(
    'ERR_NETWORK_KEY',
    `network key file ${path}: expected ${expected}, got ${came}; ${action}`,
  );
}
