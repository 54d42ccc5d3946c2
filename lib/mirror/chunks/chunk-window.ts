import type { ByteRange } from '../../http/ranges.ts';
import type { PeerEndpoint } from '../../peers/endpoint.ts';
import { BodyChunk, type Giver } from './body-chunk.ts';
import { chooseChunk } from './choose-chunk.ts';
import type { ChunkBuffers } from './chunk-buffers.ts';
import { WINDOW_BYTES } from './constants.ts';

/** How a part of a blob is cut into chunks. */
export interface ChunkPlan {
  /** In the blob. */
  readonly range: ByteRange;
  /** Of the first chunk; at most `chunkBytes`, and less than the range. */
  readonly firstBytes: number;
  /** Of the others but the last. */
  readonly chunkBytes: number;
}

/** The chunks of a part of a body, from the one that the client waits for on. */
export class ChunkWindow {
  readonly #buffers: ChunkBuffers;
  readonly #range: ByteRange;
  readonly #firstBytes: number;
  readonly #chunkBytes: number;
  readonly #chunks = new Map<number, BodyChunk>();
  /** The chunk that is handed on. */
  #head = 0;
  /** Bytes of it that were handed on. */
  #handed = 0;

  constructor(buffers: ChunkBuffers, { range, firstBytes, chunkBytes }: ChunkPlan) {
    this.#buffers = buffers;
    this.#range = range;
    this.#firstBytes = firstBytes;
    this.#chunkBytes = chunkBytes;
  }

  /** Where the next byte to be handed on is in the blob. */
  get position(): number {
    return this.#startOf(this.#head) + this.#handed;
  }

  /** All of the first chunk was handed on. */
  get isBehindFirst(): boolean {
    return this.position >= this.#startOf(1);
  }

  get isOver(): boolean {
    return this.position >= this.#range.end;
  }

  /**
   * The next bytes, valid until the following call or `close`, and whose they are. Undefined: they
   * are not here yet, or all were handed on.
   */
  take(): { readonly piece: Uint8Array; readonly from: Iterable<PeerEndpoint> } | undefined {
    const last = this.#chunks.get(this.#head);
    if (last !== undefined && this.#handed === last.length) {
      this.#chunks.delete(this.#head);
      this.#buffers.give(last.buffer);
      this.#head += 1;
      this.#handed = 0;
    }
    const chunk = this.#chunks.get(this.#head);
    if (chunk === undefined || chunk.filled === this.#handed) return undefined;
    const piece = chunk.buffer.subarray(this.#handed, chunk.filled);
    this.#handed = chunk.filled;
    return { piece, from: chunk.contributors };
  }

  /** What `source` is to give next. Undefined: nothing now. */
  choose(source: Giver, sources: ReadonlySet<Giver>): BodyChunk | undefined {
    const behindFirst = this.#range.end - this.#startOf(1);
    const count = 1 + Math.ceil(behindFirst / this.#chunkBytes);
    const end = Math.min(count, this.#head + WINDOW_BYTES / this.#chunkBytes);
    const get = (index: number) => this.#chunks.get(index);
    const view = { head: this.#head, end, sources, get };
    const index = chooseChunk(view, source);
    if (index === undefined) return undefined;
    return this.#chunks.get(index) ?? this.#begin(index);
  }

  /** Ends what this source gives now. */
  end(source: Giver, reason: Error): void {
    for (const { sources } of this.#chunks.values()) sources.get(source)?.abort(reason);
  }

  close(): void {
    for (const chunk of this.#chunks.values()) {
      chunk.drop();
      this.#buffers.give(chunk.buffer);
    }
    this.#chunks.clear();
  }

  #begin(index: number): BodyChunk | undefined {
    const buffer = this.#buffers.take(this.#chunkBytes, index === this.#head);
    if (buffer === undefined) return undefined;
    const start = this.#startOf(index);
    const end = Math.min(this.#startOf(index + 1), this.#range.end);
    const chunk = new BodyChunk({ start, end }, buffer);
    this.#chunks.set(index, chunk);
    return chunk;
  }

  #startOf(index: number): number {
    const { start } = this.#range;
    return index === 0 ? start : start + this.#firstBytes + (index - 1) * this.#chunkBytes;
  }
}
