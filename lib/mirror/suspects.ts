import { join } from 'node:path';
import { hostPrefixOf, parseHostPort } from '../base/address.ts';
import { deleteStaleTemporaries, writeFileAtomically } from '../base/atomic-file.ts';
import { BoundedMap } from '../base/bounded-map.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import { ExpiringMap } from '../base/expiring-map.ts';
import type { Logger } from '../base/log.ts';
import { readSmallFile } from '../base/read-small-file.ts';
import type { PeerEndpoint } from './peer-health.ts';

export interface SuspectsSettings {
  /** Where the suspects outlive the process; undefined or empty: nowhere. */
  readonly dataDir?: string | undefined;
}

interface Record {
  /** How often its bytes were wrong; outlives the suspicion, so that the next one is longer. */
  readonly offences: number;
  /** Whether it is a suspect now. */
  readonly isSuspect: boolean;
  /** From when on it may be checked, in milliseconds since 1970. */
  readonly checkFrom: number;
}

/**
 * Peers of which wrong bytes have reached containerd. Each is known by its address, whatever the
 * port, and by its peer id: another port or another identity at that address does not help it. In
 * `<data-dir>/suspects.json` they outlive a restart. Nothing about the file is a reason to fail.
 */
export class Suspects {
  readonly #log: Logger;
  readonly #path: string | undefined;
  readonly #now: () => number;
  /** By address or peer id, the newest last. */
  readonly #records = new BoundedMap<string, Record>(MAX_RECORDS);
  readonly #proven = new ExpiringMap<true>(MAX_RECORDS);
  #writing: Promise<void> = Promise.resolve();

  /** `now` is the wall clock in milliseconds since 1970; tests give their own. */
  constructor(
    { log, now = Date.now }: { readonly log: Logger; readonly now?: () => number },
    { dataDir }: SuspectsSettings,
  ) {
    this.#log = log;
    this.#path = dataDir ? join(dataDir, 'suspects.json') : undefined;
    this.#now = now;
  }

  /** Reads the file. Never rejects. */
  async load(): Promise<void> {
    if (this.#path === undefined) return;
    await deleteStaleTemporaries(this.#path);
    try {
      const text = await readSmallFile(this.#path, MAX_BYTES);
      for (const [key, record] of parse(text, this.#now())) {
        if (!this.#records.has(key)) this.#records.set(key, record);
      }
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return;
      const fields = { file: this.#path, error: messageOf(error) };
      this.#log.warn('suspects of the last run are not known: expected a list of our own', fields);
    }
  }

  /** Resolves when the file says what is known. Never rejects. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  /** Wrong bytes came from there, and nothing has cleared it since. */
  isAccused(endpoint: PeerEndpoint): boolean {
    return keysOf(endpoint).some((key) => this.#records.get(key)?.isSuspect === true);
  }

  /** Only what is checked is to be taken from it: it is accused, or it may be the liar that is looked for. */
  has(endpoint: PeerEndpoint): boolean {
    return (
      this.isAccused(endpoint) || (this.isAlarmed && this.#proven.get(pairOf(endpoint)) !== true)
    );
  }

  /** Wrong bytes came through a peer that was still getting them: which peer the liar is, is not known. */
  get isAlarmed(): boolean {
    return this.#isLater(ANYBODY);
  }

  /** It has been a suspect for long enough: a transfer that nobody waits for may clear it. */
  mayCheck(endpoint: PeerEndpoint): boolean {
    return !keysOf(endpoint).some((key) => this.#isLater(key));
  }

  /** A download that had bytes of it was wrong. */
  accuse(endpoint: PeerEndpoint): void {
    this.#accuse(keysOf(endpoint), LIAR_MS);
  }

  /**
   * The same, of one that was still getting them itself: the liar may be another. For a while only
   * those are trusted that have proved themselves, and nobody is followed.
   */
  accuseMisled(endpoint: PeerEndpoint): void {
    this.#accuse([...keysOf(endpoint), ANYBODY], MISLED_MS);
  }

  /** What it sent was checked, and wrong. It costs no pull, so under any name: its address alone counts. */
  accuseAddress({ address }: PeerEndpoint): void {
    this.#accuse([hostOf(address)], LIAR_MS);
  }

  /** A download had bytes of it alone, of content that it had whole, and was right. */
  prove(endpoint: PeerEndpoint): void {
    this.#proven.set(pairOf(endpoint), true, PROVEN_MS);
    if (this.isAccused(endpoint) && this.mayCheck(endpoint)) this.clear(endpoint);
  }

  /** Its bytes were right in a check. */
  clear(endpoint: PeerEndpoint): void {
    for (const key of keysOf(endpoint)) {
      const record = this.#records.get(key);
      if (record !== undefined) this.#records.set(key, { ...record, isSuspect: false });
    }
    this.#save();
  }

  /** It may not be checked yet. A clock that was far ahead once does not count. */
  #isLater(key: string): boolean {
    const leftMs = (this.#records.get(key)?.checkFrom ?? 0) - this.#now();
    return leftMs > 0 && leftMs <= LONGEST_MS;
  }

  #accuse(keys: readonly string[], firstMs: number): void {
    for (const key of keys) {
      const offences = Math.min((this.#records.get(key)?.offences ?? 0) + 1, MAX_OFFENCES);
      const checkFrom = this.#now() + firstMs * 2 ** (offences - 1);
      this.#records.set(key, { offences, isSuspect: true, checkFrom });
    }
    this.#save();
  }

  /** One write after the other; a disk that fails is told of, and costs the memory of it alone. */
  #save(): void {
    const path = this.#path;
    if (path === undefined) return;
    this.#writing = this.#writing.then(async () => {
      try {
        const records = Object.fromEntries(this.#records);
        await writeFileAtomically(path, `${JSON.stringify({ version: VERSION, records })}\n`);
      } catch (error) {
        const fields = { file: path, error: messageOf(error) };
        this.#log.warn('suspects cannot be kept over a restart', fields);
      }
    });
  }
}

function keysOf({ peerId, address }: PeerEndpoint): readonly string[] {
  return [peerId, hostOf(address)];
}

function pairOf(endpoint: PeerEndpoint): string {
  return keysOf(endpoint).join(' ');
}

/** Without the port. */
function hostOf(address: string): string {
  return hostPrefixOf(parseHostPort(address)?.host ?? address);
}

/** Throws for a text that is no list of ours. What is older than a month is left out. */
function* parse(text: string, now: number): Generator<[string, Record]> {
  const { version, records } = JSON.parse(text);
  if (version !== VERSION || typeof records !== 'object' || records === null)
    throw new Error(`version ${version}`);
  for (const [key, record] of Object.entries<Partial<Record> | null>(records)) {
    const { offences, isSuspect, checkFrom } = record ?? {};
    if (typeof offences !== 'number' || typeof checkFrom !== 'number') continue;
    if (typeof isSuspect !== 'boolean' || checkFrom < now - FORGET_MS) continue;
    yield [key, { offences, isSuspect, checkFrom }];
  }
}

const VERSION = 1;

/** The key under which it is known how long the liar is looked for. */
const ANYBODY = '*';

/** Long enough for every retry of a rollout. */
const LIAR_MS = 60 * 60_000;
/** A fleet in which one has lied is not to be without its honest hosts for an hour. */
const MISLED_MS = 10 * 60_000;
/** 2^5 hours. */
const MAX_OFFENCES = 6;
const LONGEST_MS = LIAR_MS * 2 ** (MAX_OFFENCES - 1);
const PROVEN_MS = 24 * 60 * 60_000;
const FORGET_MS = 30 * 24 * 60 * 60_000;
/** Each takes a failed pull to make, or comes with one. */
const MAX_RECORDS = 2_048;
const MAX_BYTES = 1024 * 1024;
