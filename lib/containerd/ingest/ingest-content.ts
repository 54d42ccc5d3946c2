import { delay, untilAborted } from '../../base/abortable.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import type { Digest } from '../../oci/digest.ts';
import { blobPath } from '../../store/file-source.ts';
import type { OpenFiles } from '../../store/open-files.ts';
import type { InflightSource, InflightSources } from '../../store/store.ts';
import {
  BEGIN_POLL_MS,
  DEFAULT_STALL_MS,
  MAX_REMEMBERED_SIZES,
  REMEMBER_SIZE_MS,
} from './constants.ts';
import { type Ingest, unlessMissing } from './ingest.ts';
import type { IngestDirectory } from './ingest-directory.ts';
import type { IngestJudge } from './ingest-judge.ts';
import { CommittedSource, IngestSource } from './ingest-source.ts';
import { OpenIngests } from './open-ingests.ts';

export interface IngestSettings {
  /** Milliseconds without growth after which an ingest is stalled. */
  readonly stallMs?: number;
  /** The same while other ingests grow: they share the link and may starve this one. */
  readonly starvedMs?: number;
}

export interface IngestContentParts {
  /** Knows which namespaces are shared. */
  readonly namespaces: { has(name: string): boolean };
  readonly ingests: IngestDirectory;
  readonly judge: Pick<IngestJudge, 'canShare' | 'isBad' | 'trust'>;
  /** For what is complete. */
  readonly files: OpenFiles;
  /** Root of the content store, or undefined if it is not known yet. */
  readonly root: () => string | undefined;
}

/**
 * Shares the content that containerd is downloading, by reading the files of its ingests. Finds
 * nothing if this process may not read them: the gRPC API only gives the bytes of complete blobs.
 */
export class IngestContent implements Omit<InflightSources, 'expect' | 'completeSize'> {
  readonly #parts: IngestContentParts;
  readonly #stallMs: number;
  readonly #starvedMs: number;
  readonly #files: OpenIngests;
  /**
   * Total sizes of ingests that were seen. A blob of that size is offered until the index has it.
   */
  readonly #sizes = new ExpiringMap<number>(MAX_REMEMBERED_SIZES);
  readonly #stopping = new AbortController();
  #poll: Promise<void> | undefined;

  constructor(
    parts: IngestContentParts,
    { stallMs = DEFAULT_STALL_MS, starvedMs = stallMs }: IngestSettings = {},
  ) {
    this.#parts = parts;
    this.#stallMs = stallMs;
    this.#starvedMs = starvedMs;
    const isBad = (digest: Digest) => this.isBarred(digest);
    this.#files = new OpenIngests({ stallMs: () => this.#stallBoundMs, isBad });
  }

  /** Rejects with the signal's reason, or when the disk fails. */
  inflightSource(digest: Digest, signal: AbortSignal): Promise<InflightSource | undefined> {
    return untilAborted(this.#find(digest, false), signal);
  }

  async awaitInflightSource(
    digest: Digest,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<InflightSource | undefined> {
    const end = performance.now() + waitMs;
    for (;;) {
      const source = await untilAborted(this.#find(digest, true), signal);
      if (source !== undefined || this.isBarred(digest) || performance.now() >= end) return source;
      await untilAborted(this.#nextPoll(), signal);
      if (this.#stopping.signal.aborted) return undefined;
    }
  }

  isBarred(digest: Digest): boolean {
    return this.#parts.judge.isBad(digest);
  }

  /** Ends all readers and all waiting requests. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the store was stopped'));
    await this.#files.stop();
    await this.#poll;
  }

  /** Resolves at the next poll. All waiting requests share one timer. */
  #nextPoll(): Promise<void> {
    this.#poll ??= delay(BEGIN_POLL_MS, this.#stopping.signal)
      .catch(() => {})
      .finally(() => {
        this.#poll = undefined;
      });
    return this.#poll;
  }

  /**
   * `isExpected`: a request waits for this digest, so a blob without a seen ingest counts too. A
   * small blob may come and be committed between two polls.
   */
  async #find(digest: Digest, isExpected: boolean): Promise<InflightSource | undefined> {
    const root = this.#parts.root();
    if (root === undefined || this.#stopping.signal.aborted) return undefined;
    const alive: Ingest[] = [];
    for (const ingest of await this.#parts.ingests.find(root, digest)) {
      if (!this.#parts.namespaces.has(ingest.namespace)) continue;
      const look = await ingest.look();
      if (look === undefined || ingest.total === undefined) continue;
      this.#sizes.set(digest, ingest.total, REMEMBER_SIZE_MS);
      if (ingest.isFull || (await this.#isAlive(ingest, look.mtimeMs))) alive.push(ingest);
    }
    // Looks for the blob after the ingests. An ingest that is committed in between is found here.
    const blob = await this.#committedSource(root, digest, isExpected);
    if (blob !== undefined) return blob;
    return this.#bestSource(root, digest, alive);
  }

  async #isAlive(ingest: Ingest, mtimeMs: number): Promise<boolean> {
    return ingest.stalledMs <= this.#stallBoundMs && !(await ingest.isAbandoned(mtimeMs));
  }

  /**
   * How long an ingest may stall. TCP shares a full link unevenly: of four layers one may get no
   * byte for seconds. Without the longer time all peers would then fetch it once more.
   */
  get #stallBoundMs(): number {
    return this.#parts.ingests.stalledMs < this.#stallMs ? this.#starvedMs : this.#stallMs;
  }

  /**
   * A blob of which an ingest was seen lately, of the size that the ingest had. With `isExpected`
   * also a blob of which no ingest was seen.
   */
  async #committedSource(
    root: string,
    digest: Digest,
    isExpected: boolean,
  ): Promise<InflightSource | undefined> {
    const expected = this.#sizes.get(digest);
    if (expected === undefined && !isExpected) return undefined;
    const path = blobPath(root, digest);
    const size = await unlessMissing(this.#parts.files.size(path));
    if (size === undefined || (expected !== undefined && size !== expected)) return undefined;
    this.#parts.judge.trust(digest);
    return new CommittedSource(digest, { size, mediaType: undefined }, path, this.#parts.files);
  }

  /** The largest ingest of all namespaces. */
  async #bestSource(
    root: string,
    digest: Digest,
    alive: readonly Ingest[],
  ): Promise<InflightSource | undefined> {
    if (this.isBarred(digest)) return undefined;
    const [best] = [...alive].sort((a, b) => b.size - a.size);
    if (best?.total === undefined || !this.#files.hasRoom(best)) return undefined;
    // The judge must watch it, wherever its bytes come from: readers must end if they are wrong.
    if (!(await this.#parts.judge.canShare(root, best))) return undefined;
    return new IngestSource(this.#files, root, best, best.total);
  }
}
