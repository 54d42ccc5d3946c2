import { join } from 'node:path';
import { delay, untilAborted } from '../base/abortable.ts';
import { deleteStaleTemporaries, writeFileAtomically } from '../base/atomic-file.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { readSmallFile } from '../base/read-small-file.ts';
import type { PeerMemory, SeenPeer } from './bootstrapper.ts';
import { MAX_PEERS, SeenPeers } from './seen-peers.ts';

export interface PeerCacheSettings {
  readonly dataDir: string;
  /** From the first change to the write, in milliseconds. */
  readonly settleMs?: number;
  /** Between two writes, in milliseconds. */
  readonly gapMs?: number;
}

const FILE = 'peers.json';
const UNKNOWN = 'peers of the last run are not known: expected a list of our own';
/** Several times what a full list takes. */
const MAX_BYTES = 2 * 1024 * 1024;
/** Hosts that start together come in within moments: the first file has them all. */
const SETTLE_MS = 1_500;
const GAP_MS = 30_000;
/** That the same peers are still alive is worth a write this often only: disks wear. */
const REFRESH_MS = 600_000;
/** A disk that hangs must not hold up the end of the daemon. */
const STOP_MS = 2_000;

/**
 * The peers that were seen alive lately, in `<data-dir>/peers.json`: a node that restarts while
 * every bootstrap peer is down rejoins through them. Nothing about the file is a reason to fail:
 * what cannot be read is told once and replaced, what cannot be written is told once and tried
 * again.
 */
export class PeerCache implements PeerMemory {
  readonly kind = 'cache';
  readonly #log: Logger;
  readonly #path: string;
  readonly #settleMs: number;
  readonly #gapMs: number;
  readonly #peers = new SeenPeers();
  /** Since when the file lacks a peer or an address; undefined: it has them all. */
  #newSince: number | undefined;
  /** Peers were seen that the file does not say were seen. */
  #isBehind = false;
  /** Seen alive before the file was read, by id. */
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
    this.#settleMs = settings.settleMs ?? SETTLE_MS;
    this.#gapMs = settings.gapMs ?? GAP_MS;
  }

  /** Newest first. */
  async addresses(signal: AbortSignal): Promise<readonly string[]> {
    // On a disk that hangs those that were seen since the start count alone.
    await untilAborted(this.#load(), signal).catch(() => {});
    return this.#peers.addresses();
  }

  remember(alive: readonly SeenPeer[]): void {
    if (this.#isStopped || alive.length === 0) return;
    // Before the file was read, nothing says what is new; a write would lose what is in it.
    if (this.#early !== undefined || !this.#isLoaded) this.#keep(alive);
    else this.#update(alive);
  }

  #keep(alive: readonly SeenPeer[]): void {
    const isFirst = this.#early === undefined;
    this.#early ??= new Map();
    for (const peer of alive) if (this.#early.size < MAX_PEERS) this.#early.set(peer.id, peer);
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

  /** Writes what the file lacks, if the disk takes it within two seconds. */
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
    await Promise.race([last(), delay(STOP_MS, ended.signal).catch(() => {})]);
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
      this.#peers.load(await readSmallFile(this.#path, MAX_BYTES), Date.now());
    } catch (error) {
      const fields = { file: this.#path, error: messageOf(error) };
      if (codeOf(error) !== 'ENOENT') this.#log.warn(UNKNOWN, fields);
    }
    this.#isLoaded = true;
  }

  #schedule(): void {
    if (this.#isStopped || this.#writing !== undefined) return;
    const dueAt = Math.max(
      this.#writtenAt + (this.#newSince === undefined ? REFRESH_MS : this.#gapMs),
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
