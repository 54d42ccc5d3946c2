import { untilAborted } from '../../base/abortable.ts';
import { withinFairly } from '../../base/fair-timeout.ts';
import { BODY_SILENCE_MS } from '../../http/constants.ts';
import { PeerFailure } from '../../http/peer-failure.ts';
import type { RawExchange } from '../../http/raw-exchange.ts';
import type { PeerEndpoint } from '../../peers/endpoint.ts';
import { askPeer } from '../ask.ts';
import { checkBlob } from '../expect.ts';
import type { Fleet } from '../fleet.ts';
import type { BodyChunk } from './body-chunk.ts';
import { Progress } from './progress.ts';

/** A blob, as peers are asked for it. */
export interface ChunkedBlob {
  readonly fleet: Fleet;
  /** Path and query. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
}

/** An answer that gives the bytes of a body from some byte on to its end. */
export interface OpenAnswer {
  readonly endpoint: PeerEndpoint;
  readonly exchange: RawExchange;
  /** What it gives, in bytes per millisecond. */
  readonly rate: number;
}

export interface FetchTold {
  /** Ends the request: the chunk is not needed any more. */
  readonly signal: AbortSignal;
  /** Called for each piece, with its length. */
  readonly onBytes: (count: number) => void;
}

/** A peer that gives one chunk of a body after the other. */
export class ChunkSource {
  readonly endpoint: PeerEndpoint;
  readonly progress: Progress;
  /** Its first chunk comes from this answer. Undefined: it ended, or there was none. */
  #open: RawExchange | undefined;
  /** What came of the open answer behind the first chunk. */
  #surplus: Uint8Array | undefined;
  /** Bytes that it gave in all. */
  given = 0;

  constructor(endpoint: PeerEndpoint, open?: OpenAnswer) {
    this.endpoint = endpoint;
    this.#open = open?.exchange;
    this.progress = new Progress(open?.rate);
  }

  /** The first chunk is here, and the open answer can go on behind it. */
  get canGoOn(): boolean {
    return this.#open !== undefined;
  }

  /** What came of the open answer behind the first chunk, valid until its following piece. */
  takeSurplus(): Uint8Array | undefined {
    const surplus = this.#surplus;
    this.#surplus = undefined;
    return surplus;
  }

  /** Ends the open answer. */
  closeOpen(): void {
    this.#open?.close();
    this.#open = undefined;
  }

  /**
   * Gets what is missing of a chunk. Resolves when all of it is here, also when another source was
   * faster. Rejects with PeerFailure, or when it is aborted.
   */
  async fetch(chunk: BodyChunk, blob: ChunkedBlob, told: FetchTold): Promise<void> {
    this.progress.begin();
    try {
      const open = this.#open;
      if (open === undefined) await this.#ask(chunk, blob, told);
      else await this.#fill(chunk, () => untilAborted(open.next(), told.signal), told);
    } catch (error) {
      this.closeOpen();
      throw error;
    } finally {
      this.progress.end();
    }
  }

  async #ask(chunk: BodyChunk, { fleet, path, size }: ChunkedBlob, told: FetchTold): Promise<void> {
    const { start, end } = chunk.range;
    const range = { kind: 'closed', start: start + chunk.filled, last: end - 1 } as const;
    const request = { method: 'GET', path, range } as const;
    const { head, exchange } = await withinFairly(BODY_SILENCE_MS, told.signal, (signal) =>
      askPeer(this.endpoint, request, fleet, signal),
    );
    try {
      // It knows no ranges, as some releases of Go Spegel: that is no failure of it.
      if (head.status === 200) throw new PeerFailure('refused', 'the whole blob for a range');
      checkBlob(head, range, size);
      await this.#fill(chunk, () => exchange.next(), told, range.start - start);
    } finally {
      exchange.close();
    }
  }

  async #fill(
    chunk: BodyChunk,
    next: () => Promise<Uint8Array | undefined>,
    { onBytes }: FetchTold,
    from = 0,
  ): Promise<void> {
    for (let at = from; at < chunk.length; ) {
      const piece = await next();
      if (piece === undefined) throw new PeerFailure('short', 'the chunk ended too early');
      const wanted = piece.subarray(0, chunk.length - at);
      if (wanted.byteLength < piece.byteLength) this.#surplus = piece.subarray(wanted.byteLength);
      this.progress.add(wanted.byteLength);
      this.given += wanted.byteLength;
      chunk.put(wanted, at, this.endpoint);
      at += wanted.byteLength;
      onBytes(wanted.byteLength);
    }
  }
}
