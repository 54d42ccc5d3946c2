import { join } from 'node:path';
import { delay, untilAborted } from '../base/abortable.ts';
import { deleteStaleTemporaries, writeFileAtomically } from '../base/atomic-file.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { readSmallFile } from '../base/read-small-file.ts';
import type { PeerMemory, SeenPeer } from './bootstrapper.ts';
import {
  MAX_CACHED_PEERS,
  MAX_PEER_CACHE_BYTES,
  PEER_CACHE_GAP_MS,
  PEER_CACHE_REFRESH_MS,
  PEER_CACHE_SETTLE_MS,
  PEER_CACHE_STOP_MS,
} from './constants.ts';
import { SeenPeers } from './seen-peers.ts';

export interface PeerCacheSettings {
  readonly dataDir: string;
  /** Time from the first change to the write. */
  readonly settleMs?: number;
  /** Time between two writes for new peers. */
  readonly gapMs?: number;
}

const FILE = 'peers.json';
const UNKNOWN = 'peers of the last run are not known: expected a list of our own';

/**
 * The peers that were seen alive lately, in `<data-dir>/peers.json`. A node that restarts while
 * every other bootstrap peer is down rejoins through them. No fault of the file ends the daemon: a
 * file that cannot be read is logged once and replaced, and a write that fails is logged once and
 * tried again.
 */
export class PeerCache implements PeerMemory {
  readonly kind = 'cache';
  readonly #log: Logger;
  readonly #path: string;
  readonly #settleMs: number;
  readonly #gapMs: number;
  readonly #peers = new SeenPeers();
  /** When the first peer or address came that the file lacks; undefined: it lacks none. */
  #newSince: number | undefined;
  /** Whether peers were seen since the last write, new or not. */
  #isBehind = false;
  /** Peers that were seen alive before the file was read, by id. */
  #early: Map<string, SeenPeer> | undefined;
  #writtenAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #loading: Promise<void> | undefined;
  #isLoaded = false;
  #writing: Promise<void> | undefined;
  #isFailing = false;
  #isStopped = false;

  constructor({ log }: { readonly log: Logger }, settings: PeerCacheSettings) {
    this.#log = log;
    this.#path = join(settings.dataDir, FILE);
    this.#settleMs = settings.settleMs ?? PEER_CACHE_SETTLE_MS;
    this.#gapMs = settings.gapMs ?? PEER_CACHE_GAP_MS;
  }

  /** Newest first. */
  async addresses(signal: AbortSignal): Promise<readonly string[]> {
    // If the disk hangs, only the peers that were seen since the start are returned.
    await untilAborted(this.#load(), signal).catch(() => {});
    return this.#peers.addresses();
  }

  remember(alive: readonly SeenPeer[]): void {
    if (this.#isStopped || alive.length === 0) return;
    // Before the file is read it is unknown what is new, and a write would lose its content.
    if (this.#early !== undefined || !this.#isLoaded) this.#keep(alive);
    else this.#update(alive);
  }

  #keep(alive: readonly SeenPeer[]): void {
    const isFirst = this.#early === undefined;
    this.#early ??= new Map();
    for (const peer of alive)
      if (this.#early.size < MAX_CACHED_PEERS) this.#early.set(peer.id, peer);
    if (isFirst) {
      void this.#load().then(() => {
        const early = [...(this.#early?.values() ?? [])];
        this.#early = undefined;
        this.#update(early);
      });
    }
  }

  #update(alive: readonly SeenPeer[]): void {
    if (this.#peers.update(alive, Date.now())) this.#newSince ??= performance.now();
    this.#isBehind = true;
    this.#schedule();
  }

  /** Writes what the file lacks. Resolves after two seconds at the latest. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    const ended = new AbortController();
    const last = async () => {
      await this.#load();
      this.#isStopped = true;
      clearTimeout(this.#timer);
      await this.#writing;
      if (this.#isBehind) await this.#write();
    };
    await Promise.race([last(), delay(PEER_CACHE_STOP_MS, ended.signal).catch(() => {})]);
    this.#isStopped = true;
    clearTimeout(this.#timer);
    ended.abort();
  }

  /** Reads the file, once. Never rejects. */
  #load(): Promise<void> {
    this.#loading ??= this.#read();
    return this.#loading;
  }

  async #read(): Promise<void> {
    await deleteStaleTemporaries(this.#path);
    try {
      this.#peers.load(await readSmallFile(this.#path, MAX_PEER_CACHE_BYTES), Date.now());
    } catch (error) {
      const fields = { file: this.#path, error: messageOf(error) };
      if (codeOf(error) !== 'ENOENT') this.#log.warn(UNKNOWN, fields);
    }
    this.#isLoaded = true;
  }

  #schedule(): void {
    if (this.#isStopped || this.#writing !== undefined) return;
    const dueAt = Math.max(
      this.#writtenAt + (this.#newSince === undefined ? PEER_CACHE_REFRESH_MS : this.#gapMs),
      (this.#newSince ?? 0) + this.#settleMs,
    );
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#write(), Math.max(0, dueAt - performance.now()));
    this.#timer.unref();
  }

  /** Never rejects. */
  #write(): Promise<void> {
    const isNew = this.#newSince !== undefined;
    this.#newSince = undefined;
    this.#isBehind = false;
    this.#writtenAt = performance.now();
    this.#writing = writeFileAtomically(this.#path, this.#peers.format())
      .then(
        () => this.#wrote(),
        (error) => {
          this.#isBehind = true;
          if (isNew) this.#newSince ??= performance.now();
          this.#failed(error);
        },
      )
      .finally(() => {
        this.#writing = undefined;
        if (this.#isBehind) this.#schedule();
      });
    return this.#writing;
  }

  #wrote(): void {
    if (this.#isFailing) this.#log.info('peers are kept again', { file: this.#path });
    this.#isFailing = false;
  }

  #failed(error: unknown): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    const fields = { file: this.#path, error: messageOf(error) };
    this.#log.error('peers cannot be kept over a restart, trying on', fields);
  }
}
