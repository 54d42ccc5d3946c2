import type { ByteRange } from '../../http/ranges.ts';
import type { PeerEndpoint } from '../../peers/endpoint.ts';
import type { Progress } from './progress.ts';

/** A source, as far as the choice of a chunk needs it. */
export interface Giver {
  readonly progress: Progress;
}

/** A part of a body that comes from one source, or from a second one when the first is late. */
export class BodyChunk {
  readonly range: ByteRange;
  readonly buffer: Buffer;
  /** The sources that are asked for it now: one, or the late one beside the one that is sooner. */
  readonly sources = new Map<Giver, AbortController>();
  /** The peers whose bytes are in it. */
  readonly contributors = new Set<PeerEndpoint>();
  /** Bytes from its start on that are here. */
  filled = 0;

  constructor(range: ByteRange, buffer: Buffer) {
    this.range = range;
    this.buffer = buffer;
  }

  get length(): number {
    return this.range.end - this.range.start;
  }

  get missing(): number {
    return this.length - this.filled;
  }

  /** Its buffer goes back: what still comes must not get into another chunk. */
  drop(): void {
    this.filled = this.length;
  }

  /** Takes bytes that begin `at` bytes behind the start. Two sources may give the same bytes. */
  put(bytes: Uint8Array, at: number, from: PeerEndpoint): void {
    const known = this.filled - at;
    if (known >= bytes.byteLength) return;
    this.buffer.set(bytes.subarray(known), this.filled);
    this.filled += bytes.byteLength - known;
    this.contributors.add(from);
  }
}
