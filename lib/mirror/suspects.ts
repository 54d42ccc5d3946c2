import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { parseHostPort } from '../base/address.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { readSmallFile } from '../base/read-small-file.ts';
import { sweepLeftovers, writeWhole } from '../base/whole-file.ts';
import type { Lane } from './penalties.ts';

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
  readonly #records = new Map<string, Record>();
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
    await sweepLeftovers(this.#path);
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

  has(lane: Lane): boolean {
    return keysOf(lane).some((key) => this.#records.get(key)?.isSuspect === true);
  }

  /** It has been a suspect for long enough: a transfer that nobody waits for may clear it. */
  mayCheck(lane: Lane): boolean {
    const now = this.#now();
    return keysOf(lane).every((key) => (this.#records.get(key)?.checkFrom ?? 0) <= now);
  }

  /**
   * Its bytes were wrong. `isMisled`: it was still getting them itself, so the liar may be the one
   * that it had them from.
   */
  accuse(lane: Lane, isMisled: boolean): void {
    for (const key of keysOf(lane)) {
      const offences = Math.min((this.#records.get(key)?.offences ?? 0) + 1, MAX_OFFENCES);
      const waitMs = (isMisled ? MISLED_MS : LIAR_MS) * 2 ** (offences - 1);
      this.#set(key, { offences, isSuspect: true, checkFrom: this.#now() + waitMs });
    }
    this.#save();
  }

  /** Its bytes were right, and nobody else's were among them. */
  clear(lane: Lane): void {
    if (!this.has(lane)) return;
    for (const key of keysOf(lane)) {
      const record = this.#records.get(key);
      if (record !== undefined) this.#set(key, { ...record, isSuspect: false });
    }
    this.#save();
  }

  #set(key: string, record: Record): void {
    this.#records.delete(key);
    this.#records.set(key, record);
    const [oldest] = this.#records.keys();
    if (this.#records.size > MAX_RECORDS && oldest !== undefined) this.#records.delete(oldest);
  }

  /** One write after the other; a disk that fails is told of, and costs the memory of it alone. */
  #save(): void {
    const path = this.#path;
    if (path === undefined) return;
    this.#writing = this.#writing.then(async () => {
      try {
        const records = Object.fromEntries(this.#records);
        await writeWhole(path, `${JSON.stringify({ version: VERSION, records })}\n`);
      } catch (error) {
        const fields = { file: path, error: messageOf(error) };
        this.#log.warn('suspects cannot be kept over a restart', fields);
      }
    });
  }
}

function keysOf({ peerId, address }: Lane): readonly string[] {
  const host = parseHostPort(address)?.host ?? address;
  return [peerId, isIPv6(host) ? networkOf(host) : host];
}

/** The first 64 bits: a host has all addresses behind them to choose from. */
function networkOf(ip: string): string {
  const [head = '', tail] = ip.split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => '0');
  const groups = tail === undefined ? first : [...first, ...zeros, ...last];
  return `${groups.slice(0, 4).join(':')}::/64`;
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
    // A clock that was far ahead once must not keep a peer out for ever.
    yield [key, { offences, isSuspect, checkFrom: Math.min(checkFrom, now + LONGEST_MS) }];
  }
}

const VERSION = 1;

/** Long enough for every retry of a rollout. */
const LIAR_MS = 60 * 60_000;
/** A fleet in which one has lied is not to be without its honest hosts for an hour. */
const MISLED_MS = 10 * 60_000;
/** 2^5 hours. */
const MAX_OFFENCES = 6;
const LONGEST_MS = LIAR_MS * 2 ** (MAX_OFFENCES - 1);
const FORGET_MS = 30 * 24 * 60 * 60_000;
/** Each takes a failed pull to make, or comes with one. */
const MAX_RECORDS = 2_048;
const MAX_BYTES = 1024 * 1024;
