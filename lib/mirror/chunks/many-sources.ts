import { withinFairly } from '../../base/fair-timeout.ts';
import { type FailureKind, PeerFailure } from '../../http/peer-failure.ts';
import type { FleetBlobRequest } from '../blob-race.ts';
import type { BodyContributors } from '../body-contributors.ts';
import type { Fleet } from '../fleet.ts';
import type { PeerEndpoint } from '../peer-health.ts';
import type { SourceSelector } from '../source-selector.ts';
import type { BodyChunk } from './body-chunk.ts';
import { restMs } from './choose-chunk.ts';
import { ChunkSource, type OpenAnswer } from './chunk-source.ts';
import { type ChunkPlan, ChunkWindow } from './chunk-window.ts';
import { LOOK_AGAIN_MS, WORTH } from './constants.ts';
import { SourceCount } from './source-count.ts';

export interface ManySourcesParts {
  readonly fleet: Fleet;
  readonly request: FleetBlobRequest;
  readonly selector: SourceSelector;
  /** Of the whole blob, in bytes. */
  readonly size: number;
  readonly signal: AbortSignal;
  /** It is checked before its first byte is answered: which peer lied must be known. */
  readonly isChecked: boolean;
  readonly contributors: BodyContributors;
}

/**
 * A part of a blob, in chunks, each from the source that has it first. A source that dies, freezes
 * or slows down is only a late chunk.
 */
export class ManySources {
  readonly #parts: ManySourcesParts;
  readonly #window: ChunkWindow;
  readonly #end = new AbortController();
  readonly #signal: AbortSignal;
  readonly #first: ChunkSource;
  /** What the first source gave before, in bytes per millisecond. */
  readonly #aloneRate: number;
  readonly #sources = new Set<ChunkSource>();
  readonly #count: SourceCount;
  readonly #timer: NodeJS.Timeout;
  /** Whether the others give the rest with the first source. */
  readonly #decision = Promise.withResolvers<boolean>();
  #changed = Promise.withResolvers<void>();
  /** Others that were found, and are not asked yet. */
  readonly #found: PeerEndpoint[] = [];
  /** Slow sources that were ended, and below which rate of the others they come back. */
  #reserve: { readonly endpoints: readonly PeerEndpoint[]; readonly below: number } | undefined;
  #failure: PeerFailure | undefined;
  #isLooking = true;

  /** `first` gives the first chunk while others are looked for. */
  constructor(parts: ManySourcesParts, first: OpenAnswer, plan: ChunkPlan) {
    this.#parts = parts;
    this.#window = new ChunkWindow(parts.fleet.chunkBuffers, plan);
    this.#signal = AbortSignal.any([parts.signal, this.#end.signal]);
    this.#count = new SourceCount(parts.fleet.ownLink);
    this.#timer = setInterval(() => this.#lookAgain(), LOOK_AGAIN_MS);
    this.#timer.unref();
    this.#aloneRate = first.rate;
    this.#first = new ChunkSource(first.endpoint, first);
    this.#add(this.#first);
    void this.#look(first.endpoint.peerId);
  }

  /** All of the first chunk was handed on. */
  get isBehindFirst(): boolean {
    return this.#window.isBehindFirst;
  }

  /**
   * The first source has given the first chunk, and all together give hardly more than it did
   * alone. To end its answer would lose what is under way, for nothing.
   */
  get isAloneBetter(): boolean {
    const rates = [...this.#sources].map(({ progress }) => progress.rate() ?? 0);
    const sum = rates.reduce((all, rate) => all + rate, 0);
    // It may be faster by now than it was when others were looked for.
    const alone = Math.max(this.#aloneRate, this.#first.progress.rate() ?? 0);
    return this.#first.canGoOn && sum < alone * WORTH;
  }

  /** What came behind the first chunk with it, valid until the answer's next piece. */
  takeSurplus(): Uint8Array | undefined {
    return this.#first.takeSurplus();
  }

  /** All sources give chunks from now on. */
  share(): void {
    this.#first.closeOpen();
    this.#count.begin();
    this.#decision.resolve(true);
  }

  /** None of them is to be asked again for this body. */
  giveUp(kind: FailureKind): void {
    for (const { endpoint } of this.#sources) this.#parts.selector.giveUp(endpoint.peerId, kind);
  }

  /**
   * The next bytes, valid until the following call or `close`; undefined at the end. Rejects with
   * PeerFailure when no source is left.
   */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const next = this.#window.take();
      // A chunk that was handed on makes room for another.
      this.#notify();
      if (next !== undefined) {
        for (const endpoint of next.from) this.#parts.contributors.add(endpoint, false);
        return next.piece;
      }
      if (this.#window.isOver) return undefined;
      this.#signal.throwIfAborted();
      if (this.#sources.size === 0 && !this.#isLooking)
        throw this.#failure ?? new PeerFailure('short', 'no source is left');
      await this.#changed.promise;
    }
  }

  /** Leaves the open answer of the first source as it is, if that can go on alone. */
  close(): void {
    if (this.#end.signal.aborted) return;
    clearInterval(this.#timer);
    this.#tell();
    this.#end.abort(IS_OVER);
    this.#decision.resolve(false);
    this.#notify();
    this.#window.close();
  }

  #tell(): void {
    const { fleet, request } = this.#parts;
    const shares = [...this.#sources].map(({ endpoint, given }) => ({ ...endpoint, given }));
    const fields = { digest: request.digest, until: this.#window.position, shares };
    fleet.log.debug('chunks from several peers', fields);
  }

  #lookAgain(): void {
    if (this.#count.measure(this.#sources.size)) this.#endSlow();
    this.#recallReserve();
    this.#addFound();
    this.#notify();
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  #add(source: ChunkSource): void {
    this.#sources.add(source);
    void this.#work(source);
  }

  /** Finds others that have the whole blob, within the resolve timeout. */
  async #look(first: string): Promise<void> {
    const { selector, fleet } = this.#parts;
    const take = async (signal: AbortSignal) => {
      for await (const endpoint of selector.othersWithAll(first, signal)) {
        this.#found.push(endpoint);
        this.#addFound();
      }
    };
    try {
      await withinFairly(fleet.bounds.resolveTimeoutMs, this.#signal, take);
    } catch (error) {
      fleet.log.warn('lookup failed', { error });
    } finally {
      this.#isLooking = false;
      this.#notify();
    }
  }

  /** Asks those that were found, as far as more sources pay. */
  #addFound(): void {
    const { buffers } = this.#parts.fleet.connections;
    while (this.#sources.size < this.#count.allowed && !buffers.isCrowded) {
      const endpoint = this.#found.shift();
      if (endpoint === undefined || this.#signal.aborted) return;
      this.#add(new ChunkSource(endpoint));
    }
  }

  async #work(source: ChunkSource): Promise<void> {
    try {
      while (!this.#signal.aborted && this.#sources.has(source)) {
        const chunk = this.#window.choose(source, this.#sources);
        if (chunk === undefined) await this.#changed.promise;
        else await this.#fetch(source, chunk);
        if (source.canGoOn && !(await this.#decision.promise)) return;
      }
    } catch (error) {
      if (!this.#signal.aborted) this.#lose(source, error);
    }
  }

  /** Rejects with PeerFailure, unless another source has given the chunk. */
  async #fetch(source: ChunkSource, chunk: BodyChunk): Promise<void> {
    const { fleet, request, size } = this.#parts;
    const ours = new AbortController();
    const signal = AbortSignal.any([this.#signal, ours.signal]);
    const onBytes = (count: number) => {
      if (chunk.missing === 0) this.#endOthers(chunk, source);
      fleet.ownLink.add(count);
      this.#notify();
    };
    this.#endSlowest(chunk);
    chunk.sources.set(source, ours);
    try {
      await source.fetch(chunk, { fleet, path: request.path, size }, { signal, onBytes });
    } catch (error) {
      if (!ours.signal.aborted) throw error;
    } finally {
      chunk.sources.delete(source);
    }
  }

  get #fastest(): number {
    return Math.max(0, ...[...this.#sources].map(({ progress }) => progress.rate() ?? 0));
  }

  /** More sources bring nothing, so a slow one only takes the link from the others. */
  #endSlow(): void {
    const below = this.#fastest / 2;
    const slow = [...this.#sources].filter(({ progress }) => (progress.rate() ?? below) < below);
    for (const source of slow) {
      this.#sources.delete(source);
      this.#window.end(source, IS_OVER);
    }
    this.#reserve = { endpoints: slow.map(({ endpoint }) => endpoint), below };
  }

  /** The fast ones are fast no more, or gone. */
  #recallReserve(): void {
    if (this.#reserve === undefined || this.#fastest >= this.#reserve.below) return;
    const { endpoints } = this.#reserve;
    this.#reserve = undefined;
    for (const endpoint of endpoints) this.#add(new ChunkSource(endpoint));
  }

  /** The chunk is complete, so a source that was late with it is free for another. */
  #endOthers(chunk: BodyChunk, source: ChunkSource): void {
    for (const late of this.#sources) {
      const abort = late === source ? undefined : chunk.sources.get(late);
      if (abort === undefined) continue;
      abort.abort(IS_OVER);
      this.#parts.fleet.instruments.handovers.inc({ reason: 'slow' });
    }
  }

  /** Of two sources that are both late with the chunk, one is enough beside the next. */
  #endSlowest(chunk: BodyChunk): void {
    if (chunk.sources.size < 2) return;
    const [slowest] = [...chunk.sources].toSorted(
      ([a], [b]) => restMs(chunk, b) - restMs(chunk, a),
    );
    slowest?.[1].abort(IS_OVER);
  }

  #lose(source: ChunkSource, error: unknown): void {
    this.#sources.delete(source);
    const { fleet, selector, request } = this.#parts;
    if (!(error instanceof PeerFailure)) fleet.log.warn('a source ends', { error });
    const failure = error instanceof PeerFailure ? error : new PeerFailure('invalid', `${error}`);
    this.#failure = failure;
    const { endpoint, given } = source;
    fleet.peerHealth.failed(endpoint, failure.kind);
    selector.giveUp(endpoint.peerId, failure.kind);
    this.#recallReserve();
    this.#addFound();
    const [other] = this.#sources;
    if (given > 0 && other !== undefined) {
      const [from, to] = [endpoint.peerId, other.endpoint.peerId];
      const at = this.#window.position;
      const fields = { digest: request.digest, at, from, reason: failure.kind, to };
      fleet.log.info('body handed over', fields);
      fleet.instruments.handovers.inc({ reason: failure.kind });
    }
    this.#notify();
  }
}

/** One for all: an error that `abort` makes itself costs a stack trace for each chunk. */
const IS_OVER = new Error('the chunk is not needed any more');
