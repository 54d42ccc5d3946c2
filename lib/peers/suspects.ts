import { join } from 'node:path';
import { deleteStaleTemporaries, writeFileAtomically } from '../base/atomic-file.ts';
import { BoundedMap } from '../base/bounded-map.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import { ExpiringMap } from '../base/expiring-map.ts';
import type { Logger } from '../base/log.ts';
import { readSmallFile } from '../base/read-small-file.ts';
import {
  LIAR_MS,
  LONGEST_SUSPICION_MS,
  MAX_OFFENCES,
  MAX_SUSPECT_RECORDS,
  MAX_SUSPECTS_FILE_BYTES,
  MISLED_MS,
  OFFENCE_MEMORY_MS,
  PROVEN_MS,
} from './constants.ts';
import { hostKeyOf, type PeerEndpoint } from './endpoint.ts';
import type { Held } from './held.ts';

export interface SuspectsSettings {
  /** Where the suspects outlive the process; undefined or empty: nowhere. */
  readonly dataDir?: string | undefined;
}

interface SuspectRecord {
  /** How often its bytes were wrong. Outlives the suspicion, so that the next one is longer. */
  readonly offences: number;
  /** Whether it is a suspect now. */
  readonly isSuspect: boolean;
  /** From when on a check may clear it, in milliseconds since 1970. */
  readonly checkFrom: number;
  /** When it was last accused, in milliseconds since 1970. */
  readonly since?: number | undefined;
}

/**
 * Remembers which peers are accused of wrong bytes. Others accuse and clear them: `Verdicts`, the
 * checks of suspects, and requests for small content. Each is known by its address without the
 * port, and by its peer id, so that neither another port nor another identity helps it. They are
 * kept in `<data-dir>/suspects.json` over a restart; a file that cannot be read or written fails
 * nothing.
 */
export class Suspects {
  readonly #log: Logger;
  readonly #path: string | undefined;
  readonly #now: () => number;
  /** By address or peer id, the newest last. */
  readonly #records = new BoundedMap<string, SuspectRecord>(MAX_SUSPECT_RECORDS);
  readonly #proven = new ExpiringMap<true>(MAX_SUSPECT_RECORDS);
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
      const text = await readSmallFile(this.#path, MAX_SUSPECTS_FILE_BYTES);
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

  /** Wrong bytes came from this peer, and nothing has cleared it since. */
  isAccused(endpoint: PeerEndpoint): boolean {
    return keysOf(endpoint).some((key) => this.#records.get(key)?.isSuspect === true);
  }

  /**
   * Only what is checked on the way is to be taken from it: it is accused, or the liar is not known
   * and it has not proved itself.
   */
  has(endpoint: PeerEndpoint): boolean {
    return (
      this.isAccused(endpoint) || (this.isAlarmed && this.#proven.get(pairOf(endpoint)) !== true)
    );
  }

  /** Wrong bytes came through a peer that still downloaded them, so the liar is not known. */
  get isAlarmed(): boolean {
    return this.#isCheckedLater(ALARM);
  }

  /** It has been a suspect for long enough that a check may clear it. */
  mayCheck(endpoint: PeerEndpoint): boolean {
    return !keysOf(endpoint).some((key) => this.#isCheckedLater(key));
  }

  /** A download with bytes of it was wrong. `isSole`: all of them, so that it is the liar. */
  accuse(endpoint: PeerEndpoint, isSole = true): void {
    this.#accuse(keysOf(endpoint), isSole ? LIAR_MS : MISLED_MS);
  }

  /**
   * A download with bytes of it was wrong, and it still downloaded them itself: the liar may be
   * another. For a while only peers that have proved themselves are trusted, and none is followed.
   */
  accuseInflight(endpoint: PeerEndpoint): void {
    this.#accuse([...keysOf(endpoint), ALARM], MISLED_MS);
  }

  /**
   * What it sent was checked on the way, and wrong. That fails no pull, and a liar can do it under
   * any peer id: only its address is accused.
   */
  accuseAddress({ address }: PeerEndpoint): void {
    this.#accuse([hostKeyOf(address)], LIAR_MS);
  }

  /** A download had only bytes of this peer, which had the whole content, and was right. */
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

  /** What peers are accused of now. */
  held(): Held[] {
    const accused = [...this.#records].filter(([key, { isSuspect }]) => isSuspect && key !== ALARM);
    return accused.map(([key, { offences, checkFrom: until, since }]) => {
      const name = /[.:]/.test(key) ? { address: key } : { peerId: key };
      const why = `wrong bytes, ${offences} in a row`;
      return { key, record: { ...name, state: 'suspect', since, until, why } };
    });
  }

  /** It may not be checked yet. A time that only a wrong clock can have written does not count. */
  #isCheckedLater(key: string): boolean {
    const leftMs = (this.#records.get(key)?.checkFrom ?? 0) - this.#now();
    return leftMs > 0 && leftMs <= LONGEST_SUSPICION_MS;
  }

  #accuse(keys: readonly string[], firstMs: number): void {
    for (const key of keys) {
      const offences = Math.min((this.#records.get(key)?.offences ?? 0) + 1, MAX_OFFENCES);
      const since = this.#now();
      const checkFrom = since + firstMs * 2 ** (offences - 1);
      this.#records.set(key, { offences, isSuspect: true, checkFrom, since });
    }
    this.#save();
  }

  /** Writes the file, one write after the other. A disk that fails is logged. */
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
  return [peerId, hostKeyOf(address)];
}

function pairOf(endpoint: PeerEndpoint): string {
  return keysOf(endpoint).join(' ');
}

/** Throws for a text that is not a list of ours. Leaves out what is older than a month. */
function* parse(text: string, now: number): Generator<[string, SuspectRecord]> {
  const { version, records } = JSON.parse(text);
  if (version !== VERSION || typeof records !== 'object' || records === null)
    throw new Error(`version ${version}`);
  for (const [key, record] of Object.entries<Partial<SuspectRecord> | null>(records)) {
    const { offences, isSuspect, checkFrom, since } = record ?? {};
    if (typeof offences !== 'number' || typeof checkFrom !== 'number') continue;
    if (typeof isSuspect !== 'boolean' || checkFrom < now - OFFENCE_MEMORY_MS) continue;
    const isKnown = typeof since === 'number';
    yield [key, { offences, isSuspect, checkFrom, since: isKnown ? since : undefined }];
  }
}

const VERSION = 1;

/** The key of the alarm: which peer the liar is, is not known. */
const ALARM = '*';
