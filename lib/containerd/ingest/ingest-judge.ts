import { delay, untilAborted } from '../../base/abortable.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import type { Logger } from '../../base/log.ts';
import type { Digest } from '../../oci/digest.ts';
import {
  BAD_MS,
  JUDGE_LOOK_MS,
  MAX_BAD,
  MAX_WATCHED,
  SETTLE_POLL_MS,
  WRITER_SILENT_MS,
} from './constants.ts';
import { DiscardQueue, type DiscardQueueParts } from './discard-queue.ts';
import type { Ingest } from './ingest.ts';
import type { IngestDirectory } from './ingest-directory.ts';
import { type IngestOutcome, JudgedIngest } from './judged-ingest.ts';

export type IngestVerdict = Exclude<IngestOutcome, 'open'>;

export interface IngestJudgeParts {
  readonly ingests: IngestDirectory;
  /** Root of the content store, or undefined if it is not known yet. */
  readonly root: () => string | undefined;
  readonly discard: DiscardQueueParts['discard'];
  readonly log: Logger;
}

/**
 * Watches what containerd makes of its ingests. The bytes were right if they become a blob. They
 * were wrong if all are there and do not hash to the digest. Time proves nothing: a commit may wait
 * for the disk for long. The judge looks at files because containerd before 2.1 has no content
 * events.
 */
export class IngestJudge {
  readonly #parts: IngestJudgeParts;
  /** The key is the directory of the ingest. */
  readonly #watched = new Map<string, JudgedIngest>();
  /** Ingests that are being opened. The key is their directory. */
  readonly #adding = new Map<string, Promise<void>>();
  readonly #bad = new ExpiringMap<true>(MAX_BAD);
  readonly #discards: DiscardQueue;
  readonly #stopping = new AbortController();
  #listener: (digest: Digest, verdict: IngestVerdict) => void = () => {};
  #running: Promise<void> | undefined;

  constructor(parts: IngestJudgeParts) {
    this.#parts = parts;
    const isWritten = (digest: Digest) => this.#isWritten(digest);
    this.#discards = new DiscardQueue({ discard: parts.discard, isWritten, log: parts.log });
  }

  /** Sets the listener. It replaces the one before. */
  listen(listener: (digest: Digest, verdict: IngestVerdict) => void): void {
    this.#listener = listener;
  }

  /**
   * Watches the ingests of a digest in all namespaces, so that the listener hears what becomes of
   * them. False if there is none to watch. Never rejects.
   */
  async follow(digest: Digest): Promise<boolean> {
    const root = this.#parts.root();
    if (root === undefined || this.#stopping.signal.aborted) return false;
    try {
      const ingests = await this.#parts.ingests.find(root, digest);
      for (const ingest of ingests) await this.#watchOnce(root, ingest);
      return ingests.some(({ dir }) => this.#watched.has(dir));
    } catch (error) {
      this.#parts.log.debug('cannot watch what becomes of a download', { digest, error });
      return false;
    }
  }

  /**
   * Watches an ingest, and tells whether its bytes may be shared. They may not if they were wrong,
   * or if the ingest is full for longer than a commit takes and is not hashed yet. Never rejects.
   */
  async canShare(root: string, ingest: Ingest): Promise<boolean> {
    const { dir, digest, isFull } = ingest;
    const adding = this.#watched.has(dir)
      ? undefined
      : this.#watchOnce(root, ingest).catch(() => {});
    if (!isFull) return !this.isBad(digest);
    await adding;
    const judged = this.#watched.get(dir);
    if (judged !== undefined) await this.#look(judged, false);
    return !this.isBad(digest) && !this.#watched.get(dir)?.isOverdue;
  }

  /** Begins to watch an ingest. Calls for one directory share the work. */
  #watchOnce(root: string, ingest: Ingest): Promise<void> {
    const { dir } = ingest;
    const adding =
      this.#adding.get(dir) ??
      this.#openOrLook(root, ingest).finally(() => this.#adding.delete(dir));
    this.#adding.set(dir, adding);
    return adding;
  }

  async #openOrLook(root: string, ingest: Ingest): Promise<void> {
    const known = this.#watched.get(ingest.dir);
    // containerd may have discarded the ingest and begun another one in its directory. A look finds
    // out.
    await (known === undefined ? this.#open(root, ingest) : this.#look(known, false));
  }

  async #open(root: string, ingest: Ingest): Promise<void> {
    const { dir } = ingest;
    if (!this.#hasRoom(dir)) return;
    await ingest.look();
    const judged = await JudgedIngest.open(root, ingest);
    if (judged === undefined) return;
    if (!this.#hasRoom(dir)) return judged.close();
    this.#watched.set(dir, judged);
    this.#startLooking();
  }

  #hasRoom(dir: string): boolean {
    if (this.#stopping.signal.aborted) return false;
    return !this.#watched.has(dir) && this.#watched.size < MAX_WATCHED;
  }

  /**
   * Watches the other ingests of the digest, in any namespace. True if there is one. Never rejects.
   */
  async #watchOthers(root: string, digest: Digest): Promise<boolean> {
    const ingests = await this.#parts.ingests.find(root, digest).catch(() => []);
    for (const ingest of ingests) {
      if (!this.#watched.has(ingest.dir)) await this.#open(root, ingest).catch(() => {});
    }
    return [...this.#watched.values()].some(({ ingest }) => ingest.digest === digest);
  }

  /** True if the bytes of the digest were wrong within the last hour, and not right since. */
  isBad(digest: Digest): boolean {
    return this.#bad.get(digest) === true;
  }

  /** The digest is in the content store, so its bytes were right. */
  trust(digest: Digest): void {
    this.#bad.delete(digest);
  }

  /**
   * Waits for up to `ms` milliseconds while one of the digests has a full ingest that is not judged
   * yet, or one that is being discarded. Does not wait for an ingest that containerd writes to.
   */
  async untilSettled(digests: readonly Digest[], ms: number): Promise<void> {
    if (!digests.some((digest) => this.#isOpen(digest))) return;
    const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(ms)]);
    await untilAborted(this.#settle(digests, signal), signal).catch(() => {});
  }

  /** True if there is something to wait for. Most digests are asked for once, and are not here. */
  #isOpen(digest: Digest): boolean {
    if (this.#discards.has(digest) || this.isBad(digest)) return true;
    return this.#watched.values().some(({ ingest }) => ingest.digest === digest);
  }

  async #settle(digests: readonly Digest[], signal: AbortSignal): Promise<void> {
    await this.#discardNow(digests);
    // containerd writes to the others.
    const free = digests.filter((digest) => !this.#discards.has(digest));
    // Watches bad digests, to hear when a new download has the right bytes.
    for (const digest of free) if (this.isBad(digest)) await this.follow(digest);
    while (await this.#isInDoubt(digests)) await delay(SETTLE_POLL_MS, signal);
    await this.#discardNow(free);
  }

  async #discardNow(digests: readonly Digest[]): Promise<void> {
    await Promise.all(digests.map((digest) => this.#discards.tryNow(digest)));
  }

  /**
   * True if one of the digests has a full ingest that is not judged yet. Looks at the files now.
   */
  async #isInDoubt(digests: readonly Digest[]): Promise<boolean> {
    const mine = [...this.#watched.values()].filter(({ ingest }) =>
      digests.includes(ingest.digest),
    );
    await Promise.all(mine.map((judged) => this.#look(judged, true)));
    return mine.some(
      (judged) => judged.isInDoubt && this.#watched.get(judged.ingest.dir) === judged,
    );
  }

  /**
   * Stops sharing a digest, and discards its ingests as soon as containerd does not write to them.
   */
  distrust(digest: Digest): void {
    this.#bad.set(digest, true, BAD_MS);
    this.#discards.add(digest);
  }

  /**
   * True while containerd writes to an ingest of the digest. A full one is being committed or left
   * behind; the files do not tell which. Never rejects.
   */
  async #isWritten(digest: Digest): Promise<boolean> {
    const root = this.#parts.root();
    if (root === undefined) return false;
    try {
      for (const ingest of await this.#parts.ingests.find(root, digest)) {
        const look = await ingest.look();
        if (look === undefined || ingest.isFull || ingest.stalledMs > WRITER_SILENT_MS) continue;
        if (!(await ingest.isAbandoned(look.mtimeMs))) return true;
      }
    } catch {
      // containerd refuses to discard an ingest with a writer.
    }
    return false;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the store was stopped'));
    await this.#running;
    await this.#discards.stop();
    await Promise.allSettled(this.#adding.values());
    const open = [...this.#watched.values()];
    this.#watched.clear();
    await Promise.all(open.map((judged) => judged.close()));
  }

  #startLooking(): void {
    this.#running ??= this.#lookRegularly().finally(() => {
      this.#running = undefined;
    });
  }

  async #lookRegularly(): Promise<void> {
    while (this.#watched.size > 0 && !this.#stopping.signal.aborted) {
      await delay(JUDGE_LOOK_MS, this.#stopping.signal).catch(() => {});
      await Promise.all([...this.#watched.values()].map((judged) => this.#look(judged, false)));
    }
  }

  /** Looks at an ingest and tells the listener what became of it. Never rejects. */
  async #look(judged: JudgedIngest, isUrgent: boolean): Promise<void> {
    const seen = await judged.look(isUrgent).catch(() => 'unreadable' as const);
    const outcome = seen === 'unreadable' ? 'ended' : seen;
    const { dir, digest } = judged.ingest;
    // Another look was faster and has told the listener.
    if (outcome === 'open' || this.#watched.get(dir) !== judged) return;
    this.#watched.delete(dir);
    await judged.close().catch(() => {});
    if (outcome === 'good') this.#bad.delete(digest);
    if (outcome === 'bad') {
      this.#parts.log.warn('a download of containerd is full of wrong bytes', { digest });
      this.distrust(digest);
    }
    // A new download in the same directory may have bytes of the same peers.
    if (seen === 'ended') await this.#open(judged.root, judged.ingest).catch(() => {});
    // An ingest of another namespace may have the same bytes. It tells what became of them.
    if (outcome === 'ended' && (await this.#watchOthers(judged.root, digest))) return;
    this.#listener(digest, outcome);
  }
}
