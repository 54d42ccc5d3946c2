import { delay, untilAborted } from '../../base/abortable.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import type { Logger } from '../../base/log.ts';
import type { Digest } from '../../oci/digest.ts';
import {
  BAD_MS,
  JUDGE_LOOK_MS,
  MAX_BAD,
  MAX_FOLLOWED,
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
  /** Root of the content store; undefined while it is not known. */
  readonly root: () => string | undefined;
  readonly discard: DiscardQueueParts['discard'];
  readonly log: Logger;
}

/**
 * Watches what this host's containerd makes of its ingests: the bytes were right when they are in
 * the content store, and wrong when all were there and do not hash to the digest. A time alone
 * says nothing: a commit may wait for the disk as long as it likes. Before 2.1 there are no events
 * of content, so the files are looked at, on every version.
 */
export class IngestJudge {
  readonly #parts: IngestJudgeParts;
  /** By directory. */
  readonly #followed = new Map<string, JudgedIngest>();
  /** By directory too: those that are just being opened. */
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

  /** One listener; the last one counts. */
  listen(listener: (digest: Digest, verdict: IngestVerdict) => void): void {
    this.#listener = listener;
  }

  /**
   * Watches the ingests of a digest, in all namespaces, from now on. False when there is none to be
   * seen: nobody will hear what becomes of it. Never rejects.
   */
  async follow(digest: Digest): Promise<boolean> {
    const root = this.#parts.root();
    if (root === undefined || this.#stopping.signal.aborted) return false;
    try {
      const ingests = await this.#parts.ingests.find(root, digest);
      for (const ingest of ingests) await this.#add(root, ingest);
      return ingests.some(({ dir }) => this.#followed.has(dir));
    } catch (error) {
      this.#parts.log.debug('cannot watch what becomes of a download', { digest, error });
      return false;
    }
  }

  /**
   * Watches one ingest. False when its bytes are not to be given away: they were wrong, or it is
   * full for longer than a commit takes, and what is in it is not known yet. Never rejects.
   */
  async canShare(root: string, ingest: Ingest): Promise<boolean> {
    const { dir, digest, isFull } = ingest;
    const adding = this.#followed.has(dir) ? undefined : this.#add(root, ingest).catch(() => {});
    if (!isFull) return !this.isBad(digest);
    await adding;
    const judged = this.#followed.get(dir);
    if (judged !== undefined) await this.#look(judged, false);
    return !this.isBad(digest) && !this.#followed.get(dir)?.isOverdue;
  }

  /** Once per directory, however many ask for it meanwhile. */
  #add(root: string, ingest: Ingest): Promise<void> {
    const { dir } = ingest;
    const adding =
      this.#adding.get(dir) ?? this.#addAnew(root, ingest).finally(() => this.#adding.delete(dir));
    this.#adding.set(dir, adding);
    return adding;
  }

  async #addAnew(root: string, ingest: Ingest): Promise<void> {
    const known = this.#followed.get(ingest.dir);
    // Thrown away and begun anew in the same directory, it is another one: a look sees that.
    await (known === undefined ? this.#open(root, ingest) : this.#look(known, false));
  }

  async #open(root: string, ingest: Ingest): Promise<void> {
    const { dir } = ingest;
    if (!this.#hasRoom(dir)) return;
    await ingest.look();
    const judged = await JudgedIngest.open(root, ingest);
    if (judged === undefined) return;
    if (!this.#hasRoom(dir)) return judged.close();
    this.#followed.set(dir, judged);
    this.#run();
  }

  #hasRoom(dir: string): boolean {
    const isMore = !this.#followed.has(dir) && this.#followed.size < MAX_FOLLOWED;
    return isMore && !this.#stopping.signal.aborted;
  }

  /** Never rejects. */
  async #hasOther(root: string, digest: Digest): Promise<boolean> {
    const ingests = await this.#parts.ingests.find(root, digest).catch(() => []);
    for (const ingest of ingests) {
      if (!this.#followed.has(ingest.dir)) await this.#open(root, ingest).catch(() => {});
    }
    return [...this.#followed.values()].some(({ ingest }) => ingest.digest === digest);
  }

  /** Its bytes were wrong within the last hour, and have not been right since. */
  isBad(digest: Digest): boolean {
    return this.#bad.get(digest) === true;
  }

  /** It is in the content store, so containerd has found its bytes right. */
  trust(digest: Digest): void {
    this.#bad.delete(digest);
  }

  /**
   * Waits while one of these digests has an ingest whose bytes are all there and nobody knows yet
   * whether they are right, or that is just being thrown away: at most `ms` milliseconds. One that
   * somebody writes to is not waited for.
   */
  async settled(digests: readonly Digest[], ms: number): Promise<void> {
    const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(ms)]);
    await untilAborted(this.#settle(digests, signal), signal).catch(() => {});
  }

  async #settle(digests: readonly Digest[], signal: AbortSignal): Promise<void> {
    await this.#thrownAway(digests);
    // Somebody writes to the others: that is not waited for.
    const free = digests.filter((digest) => !this.#discards.has(digest));
    // Nobody else would hear that the next download of a bad one has the right bytes.
    for (const digest of free) if (this.isBad(digest)) await this.follow(digest);
    while (await this.#isInDoubt(digests)) await delay(SETTLE_POLL_MS, signal);
    await this.#thrownAway(free);
  }

  async #thrownAway(digests: readonly Digest[]): Promise<void> {
    await Promise.all(digests.map((digest) => this.#discards.tried(digest)));
  }

  /** One of them has all its bytes, and it is not known whether they are right. Looks at once. */
  async #isInDoubt(digests: readonly Digest[]): Promise<boolean> {
    const mine = [...this.#followed.values()].filter(({ ingest }) =>
      digests.includes(ingest.digest),
    );
    await Promise.all(mine.map((judged) => this.#look(judged, true)));
    return mine.some(
      (judged) => judged.isInDoubt && this.#followed.get(judged.ingest.dir) === judged,
    );
  }

  /** Nobody is to have what there is of it; its ingests go, each as soon as nobody writes to it. */
  distrust(digest: Digest): void {
    this.#bad.set(digest, true, BAD_MS);
    this.#discards.begin(digest);
  }

  /** One that is full is being committed, which nobody sees, or is left behind. */
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
      // containerd itself tells.
    }
    return false;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the store was stopped'));
    await this.#running;
    await this.#discards.stop();
    await Promise.allSettled(this.#adding.values());
    const open = [...this.#followed.values()];
    this.#followed.clear();
    await Promise.all(open.map((judged) => judged.close()));
  }

  #run(): void {
    this.#running ??= this.#watch().finally(() => {
      this.#running = undefined;
    });
  }

  async #watch(): Promise<void> {
    while (this.#followed.size > 0 && !this.#stopping.signal.aborted) {
      await delay(JUDGE_LOOK_MS, this.#stopping.signal).catch(() => {});
      await Promise.all([...this.#followed.values()].map((judged) => this.#look(judged, false)));
    }
  }

  /** Never rejects. */
  async #look(judged: JudgedIngest, isUrgent: boolean): Promise<void> {
    const seen = await judged.look(isUrgent).catch(() => 'unreadable' as const);
    const outcome = seen === 'unreadable' ? 'ended' : seen;
    const { dir, digest } = judged.ingest;
    // Somebody else has looked, and heard it.
    if (outcome === 'open' || this.#followed.get(dir) !== judged) return;
    this.#followed.delete(dir);
    await judged.close().catch(() => {});
    if (outcome === 'good') this.#bad.delete(digest);
    if (outcome === 'bad') {
      this.#parts.log.warn('a download of containerd is full of wrong bytes', { digest });
      this.distrust(digest);
    }
    // Begun anew in the same directory, it may have bytes of those that would be forgotten now.
    if (seen === 'ended') await this.#open(judged.root, judged.ingest).catch(() => {});
    // Another namespace's may be there, and nobody has looked at it yet: it may have the same bytes.
    if (outcome === 'ended' && (await this.#hasOther(judged.root, digest))) return;
    this.#listener(digest, outcome);
  }
}
