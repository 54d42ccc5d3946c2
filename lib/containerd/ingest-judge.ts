import { ExpiringMap } from '../base/expiring-map.ts';
import { delay } from '../base/lifecycle.ts';
import type { Logger } from '../base/log.ts';
import type { Digest } from '../oci/digest.ts';
import type { Ingest } from './ingest.ts';
import type { Ingests } from './ingests.ts';
import { JudgedIngest, type Outcome } from './judged-ingest.ts';

export type Verdict = Exclude<Outcome, 'open'>;

export interface IngestJudgeParts {
  readonly ingests: Ingests;
  /** Root of the content store; undefined while it is not known. */
  readonly root: () => string | undefined;
  /** Throws away what containerd has of a digest, once nobody writes to it. Never rejects. */
  readonly discard: (digest: Digest, signal: AbortSignal) => Promise<void>;
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
  readonly #bad = new ExpiringMap<true>(MAX_BAD);
  readonly #discards = new Map<Digest, Promise<void>>();
  readonly #stopping = new AbortController();
  #listener: (digest: Digest, verdict: Verdict) => void = () => {};
  #running: Promise<void> | undefined;

  constructor(parts: IngestJudgeParts) {
    this.#parts = parts;
  }

  /** One listener; the last one counts. */
  listen(listener: (digest: Digest, verdict: Verdict) => void): void {
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

  /** Watches one ingest. Never rejects. */
  async watch(root: string, ingest: Ingest): Promise<void> {
    await this.#add(root, ingest).catch(() => {});
  }

  async #add(root: string, ingest: Ingest): Promise<void> {
    const { dir } = ingest;
    if (this.#followed.has(dir) || this.#followed.size >= MAX_FOLLOWED) return;
    await ingest.look();
    const judged = await JudgedIngest.open(root, ingest);
    if (judged === undefined) return;
    if (this.#followed.has(dir) || this.#stopping.signal.aborted) return judged.close();
    this.#followed.set(dir, judged);
    this.#run();
  }

  /** Its bytes were wrong within the last hour, and have not been right since. */
  isBad(digest: Digest): boolean {
    return this.#bad.get(digest) === true;
  }

  /**
   * Waits while one of these digests has an ingest whose bytes are all there and nobody knows yet
   * whether they are right, or that is to be thrown away: at most `ms` milliseconds.
   */
  async settled(digests: readonly Digest[], ms: number): Promise<void> {
    const deadline = performance.now() + ms;
    while (performance.now() < deadline && !this.#stopping.signal.aborted) {
      const mine = [...this.#followed.values()].filter(({ ingest }) =>
        digests.includes(ingest.digest),
      );
      await Promise.all(mine.map((judged) => this.#look(judged, true)));
      const isInDoubt = mine.some(
        (judged) => judged.isInDoubt && this.#followed.get(judged.ingest.dir) === judged,
      );
      const discards = digests.flatMap((digest) => this.#discards.get(digest) ?? []);
      if (!isInDoubt && discards.length === 0) return;
      await Promise.race([
        Promise.all(discards),
        delay(SETTLE_EVERY_MS, this.#stopping.signal),
      ]).catch(() => {});
    }
  }

  /** Nobody is to have what there is of it; its ingests go, each as soon as nobody writes to it. */
  distrust(digest: Digest): void {
    this.#bad.set(digest, true, BAD_MS);
    this.#discard(digest);
  }

  #discard(digest: Digest): void {
    if (this.#discards.has(digest) || this.#stopping.signal.aborted) return;
    const discarding = this.#parts
      .discard(digest, this.#stopping.signal)
      .finally(() => this.#discards.delete(digest));
    this.#discards.set(digest, discarding);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the store was stopped'));
    await this.#running;
    await Promise.all(this.#discards.values());
    await Promise.all([...this.#followed.values()].map((judged) => judged.close()));
    this.#followed.clear();
  }

  #run(): void {
    this.#running ??= this.#watch().finally(() => {
      this.#running = undefined;
    });
  }

  async #watch(): Promise<void> {
    while (this.#followed.size > 0 && !this.#stopping.signal.aborted) {
      await delay(LOOK_EVERY_MS, this.#stopping.signal).catch(() => {});
      for (const judged of [...this.#followed.values()]) await this.#look(judged, false);
    }
  }

  /** Never rejects. */
  async #look(judged: JudgedIngest, isUrgent: boolean): Promise<void> {
    const outcome = await judged.look(isUrgent).catch((): Outcome => 'ended');
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
    const isLast = ![...this.#followed.values()].some(({ ingest }) => ingest.digest === digest);
    if (outcome !== 'ended' || isLast) this.#listener(digest, outcome);
  }
}

/** Each costs a descriptor; containerd pulls three layers of an image at once. */
const MAX_FOLLOWED = 256;

/** A look costs some 50 µs. */
const LOOK_EVERY_MS = 250;
const SETTLE_EVERY_MS = 20;

/** Long enough for every retry of a rollout. */
const BAD_MS = 60 * 60_000;
const MAX_BAD = 1_024;
