import { delay, untilAborted } from '../../base/abortable.ts';
import { ExpiringMap } from '../../base/expiring-map.ts';
import type { Digest } from '../../oci/digest.ts';
import { blobPath, fileSize } from '../../store/file-source.ts';
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
  /** Milliseconds without growth after which a download counts as dead. */
  readonly stallMs?: number;
  /** The same for one that is starved: others of this containerd grow, which share its link. */
  readonly starvedMs?: number;
}

export interface IngestContentParts {
  /** Whether what is in a namespace is shared. */
  readonly namespaces: { has(name: string): boolean };
  readonly ingests: IngestDirectory;
  readonly judge: Pick<IngestJudge, 'canShare' | 'isBad' | 'trust'>;
  /** Root of the content store; undefined while it is not known. */
  readonly root: () => string | undefined;
}

/**
 * Content that containerd is just downloading, read out of its files. Nothing is offered where those are not for
 * us to read: the gRPC API gives the bytes of complete blobs only.
 */
export class IngestContent implements InflightSources {
  readonly #parts: IngestContentParts;
  readonly #stallMs: number;
  readonly #starvedMs: number;
  readonly #files: OpenIngests;
  /** Sizes of downloads that were seen: what is offered as a blob until the index knows it. */
  readonly #sizes = new ExpiringMap<number>(MAX_REMEMBERED_SIZES);
  readonly #stopping = new AbortController();
  #pulse: Promise<void> | undefined;

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
      await untilAborted(this.#nextPulse(), signal);
      if (this.#stopping.signal.aborted) return undefined;
    }
  }

  isBarred(digest: Digest): boolean {
    return this.#parts.judge.isBad(digest);
  }

  /** Ends all readers and all who wait. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the store was stopped'));
    await this.#files.stop();
    await this.#pulse;
  }

  /** One timer for all who wait. */
  #nextPulse(): Promise<void> {
    this.#pulse ??= delay(BEGIN_POLL_MS, this.#stopping.signal)
      .catch(() => {})
      .finally(() => {
        this.#pulse = undefined;
      });
    return this.#pulse;
  }

  /** `isExpected`: somebody waits for it, and a small one may come and be committed between two looks. */
  async #find(digest: Digest, isExpected: boolean): Promise<InflightSource | undefined> {
    const root = this.#parts.root();
    if (root === undefined || this.#stopping.signal.aborted) return undefined;
    const alive: Ingest[] = [];
    for (const ingest of await this.#parts.ingests.find(root, digest)) {
      if (!this.#parts.namespaces.has(ingest.namespace)) continue;
      const look = await ingest.look();
      if (look === undefined || ingest.total === undefined) continue;
      this.#sizes.set(digest, ingest.total, REMEMBER_SIZE_MS);
      if (ingest.isFull || (await this.#lives(ingest, look.mtimeMs))) alive.push(ingest);
    }
    // After the downloads: one that is renamed meanwhile is found here.
    const blob = await this.#committed(root, digest, isExpected);
    if (blob !== undefined) return blob;
    return this.#best(root, digest, alive);
  }

  async #lives(ingest: Ingest, mtimeMs: number): Promise<boolean> {
    return ingest.stalledMs <= this.#stallBoundMs && !(await ingest.isAbandoned(mtimeMs));
  }

  /**
   * How long a download may stand still. TCP shares a full link unevenly: of four layers one may get no MiB for
   * seconds, and would then be fetched once more by everybody.
   */
  get #stallBoundMs(): number {
    return this.#parts.ingests.stalledMs < this.#stallMs ? this.#starvedMs : this.#stallMs;
  }

  /** A blob that was a download when it was last seen, or whose download is still there. */
  async #committed(
    root: string,
    digest: Digest,
    isExpected: boolean,
  ): Promise<InflightSource | undefined> {
    const expected = this.#sizes.get(digest);
    if (expected === undefined && !isExpected) return undefined;
    const path = blobPath(root, digest);
    const size = await unlessMissing(fileSize(path));
    if (size === undefined || (expected !== undefined && size !== expected)) return undefined;
    this.#parts.judge.trust(digest);
    return new CommittedSource(digest, { size, mediaType: undefined }, path);
  }

  /** Of several namespaces the one that is furthest. */
  async #best(
    root: string,
    digest: Digest,
    alive: readonly Ingest[],
  ): Promise<InflightSource | undefined> {
    if (this.isBarred(digest)) return undefined;
    const [best] = [...alive].sort((a, b) => b.size - a.size);
    if (best?.total === undefined || !this.#files.hasRoom(best)) return undefined;
    // Its readers have to hear when its bytes were wrong, no matter where they came from.
    if (!(await this.#parts.judge.canShare(root, best))) return undefined;
    return new IngestSource(this.#files, root, best, best.total);
  }
}
