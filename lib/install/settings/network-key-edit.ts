import * as fs from 'node:fs';
import { codeOf, messageOf, SpegelError } from '../../base/errors.ts';
import { flock } from '../../base/flock.ts';
import { MAX_KEY_FILE_BYTES, MAX_NETWORK_KEYS } from '../../network-key/constants.ts';
import {
  type KeyLines,
  networkKeyLines,
  newKeyLine,
  parseNetworkKeys,
  readNetworkKeyText,
} from '../../network-key/file.ts';
import type { NetworkKey } from '../../network-key/network-key.ts';
import { applyInstallFile } from '../system/files.ts';

/** The keys of a file, by their fingerprints. */
export interface KeyFingerprints {
  readonly used: string;
  /** Keys that are accepted and not used. */
  readonly others: readonly string[];
}

/** Returns the new text of a key file; undefined: no change is needed. Throws SpegelError. */
export type KeyEdit = (text: string, path: string) => string | undefined;

/** The fingerprints of the keys in a text. Throws SpegelError ERR_NETWORK_KEY. */
export function fingerprintsOf(path: string, text: string): KeyFingerprints {
  const [used, ...others] = parseNetworkKeys(path, text).map(({ fingerprint }) => fingerprint);
  return { used: used ?? '', others };
}

/** Adds a new key, which is accepted and not used. */
export const withNewKey: KeyEdit = (text, path) => withKey(text, path, newKeyLine());

/**
 * Adds the key of another host's file that this file lacks; it is accepted and not used. A file
 * without any key of this host belongs to another network, unless it has one key alone: then that
 * one is meant.
 */
export function withKeyOf(other: string, source: string): KeyEdit {
  const theirs = linesOf(other, source);
  return (text, path) => {
    const own = networkKeyLines(path, text);
    const missing = theirs.filter(({ key }) => !own.some((one) => isSame(one.key, key)));
    const [first, ...more] = missing;
    if (first === undefined) return undefined;
    if (more.length > 0) {
      const expected = `expected ${source} to have one key that ${path} has not, got two; is it of another network?`;
      throw new SpegelError('ERR_NETWORK_KEY', expected);
    }
    return withKey(text, path, first.text);
  };
}

/**
 * Puts the key with that fingerprint first, which makes it the used one. The other key stays
 * accepted.
 */
export function withKeyUsed(fingerprint: string): KeyEdit {
  return (text, path) => {
    const [first, second] = networkKeyLines(path, text);
    if (first.key.fingerprint === fingerprint) return undefined;
    if (second?.key.fingerprint !== fingerprint) throw unknownKey(fingerprint, path, text);
    const lines = text.split('\n');
    const part = ({ first: from, last }: KeyLines) => lines.slice(from, last + 1);
    return [
      ...lines.slice(0, first.first),
      ...part(second),
      ...lines.slice(first.last + 1, second.first),
      ...part(first),
      ...lines.slice(second.last + 1),
    ].join('\n');
  };
}

/** Removes a key that is not used. A key that is missing counts as removed. */
export function withoutKey(fingerprint: string): KeyEdit {
  return (text, path) => {
    const [first, second] = networkKeyLines(path, text);
    if (first.key.fingerprint === fingerprint) {
      const other = second?.key.fingerprint;
      const action =
        other === undefined
          ? 'it is the only one: to change it, spegel key new'
          : `first, on every host: spegel key use --key=${other}`;
      const expected = `${path}: expected a key that is not used, got ${fingerprint}, which is`;
      throw new SpegelError('ERR_NETWORK_KEY', `${expected}; ${action}`);
    }
    if (second?.key.fingerprint !== fingerprint) return undefined;
    return text
      .split('\n')
      .toSpliced(second.first, second.last + 1 - second.first)
      .join('\n');
  };
}

/**
 * Edits the key file at `path`. Mode, owner and all other text stay. A reader sees the old file or
 * the new one, even if the process dies. Two edits at once happen one after the other, or the
 * second is refused. Rejects with SpegelError, and changes nothing, for a wrong file.
 */
export async function editKeyFile(
  path: string,
  edit: KeyEdit,
): Promise<{ readonly isChanged: boolean; readonly fingerprints: KeyFingerprints }> {
  // A link that configuration management has made stays a link.
  const real = realPath(path);
  // Its errors say more than those of the lock.
  await readNetworkKeyText(real);
  const unlock = lockFile(real);
  try {
    const { text } = await readNetworkKeyText(real);
    parseNetworkKeys(path, text);
    const edited = edit(text, path);
    if (edited === undefined) return { isChanged: false, fingerprints: fingerprintsOf(path, text) };
    const fingerprints = fingerprintsOf(path, edited);
    assertRead(path, edited);
    const { mode, uid, gid } = fs.statSync(real);
    applyInstallFile({ path: real, mode: mode & 0o7777, content: edited, owner: { uid, gid } });
    return { isChanged: true, fingerprints };
  } finally {
    unlock();
  }
}

/** No daemon reads a file that is larger than this. */
function assertRead(path: string, text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes <= MAX_KEY_FILE_BYTES) return;
  throw new SpegelError(
    'ERR_NETWORK_KEY',
    `${path}: expected at most ${MAX_KEY_FILE_BYTES} bytes with the change, got ${bytes}; shorten its comments`,
  );
}

/** Makes a key file with one new key. Throws SpegelError if the path exists. */
export function makeKeyFile(path: string): KeyFingerprints {
  const text = newKeyLine();
  try {
    fs.writeFileSync(path, text, { flag: 'wx', mode: 0o600, flush: true });
  } catch (error) {
    throw writeError(path, error);
  }
  return fingerprintsOf(path, text);
}

function withKey(text: string, path: string, key: string): string {
  const { length } = networkKeyLines(path, text);
  if (length >= MAX_NETWORK_KEYS) {
    const action = `'spegel key show' names them; take one that no host uses out first: spegel key remove --key=…`;
    throw new SpegelError('ERR_NETWORK_KEY', `${path}: expected one key, got two; ${action}`);
  }
  return `${text}${text.endsWith('\n') ? '' : '\n'}${key}`;
}

/** What to do about a file that has no key to add. */
export const GIVE_KEY =
  "give it the key file of a host that has the new key; the first one gets it by 'spegel key new'";

/** Each key of another host's text with its own lines. */
function linesOf(text: string, source: string) {
  const lines = text.split('\n');
  return networkKeyLines(source, text, GIVE_KEY).map(({ key, first, last }) => ({
    key,
    text: `${lines.slice(first, last + 1).join('\n')}\n`,
  }));
}

function isSame(one: NetworkKey, other: NetworkKey): boolean {
  return one.dht.equals(other.dht);
}

function unknownKey(fingerprint: string, path: string, text: string): SpegelError {
  const { used, others } = fingerprintsOf(path, text);
  const got = [used, ...others].join(' and ');
  const action = 'put it there first: spegel key add';
  return new SpegelError(
    'ERR_NETWORK_KEY',
    `${path}: expected to have the key ${fingerprint}, got ${got}; ${action}`,
  );
}

function realPath(path: string): string {
  try {
    return fs.realpathSync(path);
  } catch {
    // The reader of the file reports what is wrong.
    return path;
  }
}

/** Locks the file itself, which only its owner can open. The lock ends with the process. */
function lockFile(path: string): () => void {
  let descriptor: number;
  try {
    descriptor = fs.openSync(path, 'r');
  } catch (error) {
    throw writeError(path, error);
  }
  const close = () => fs.closeSync(descriptor);
  try {
    const isFree = flock(descriptor) !== 'busy';
    // Another process may have replaced the file since it was opened.
    if (isFree && fs.fstatSync(descriptor).ino === fs.statSync(path).ino) return close;
  } catch (error) {
    close();
    throw writeError(path, error);
  }
  close();
  throw new SpegelError(
    'ERR_NETWORK_KEY',
    `${path}: another spegel is just changing it; nothing was changed, run this again`,
  );
}

function writeError(path: string, error: unknown): SpegelError {
  if (error instanceof SpegelError) return error;
  const action =
    codeOf(error) === 'EEXIST' ? 'look at what is there' : 'mend that and run this again';
  return new SpegelError(
    'ERR_NETWORK_KEY',
    `network key file ${path}: expected to write it, got ${messageOf(error)}; ${action}`,
    { cause: error },
  );
}
