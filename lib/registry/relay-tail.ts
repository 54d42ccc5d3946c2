import { delay } from '../base/abortable.ts';
import type { Body } from '../http/body.ts';
import type { Digest } from '../oci/digest.ts';
import { type Reader, StalledError } from '../store/store.ts';

/** Twice what containerd keeps back: it writes a layer in steps of 1 MiB. */
const TAIL_BYTES = 2 * 1024 * 1024;

/** As long as bytes of a relay come within this time, content that stands still on the disk does not stand still. */
const FRESH_MS = 2_000;

/**
 * The last bytes that this host relayed of a digest. They are on the disk a MiB later, and every host of a chain would
 * add the time that a MiB takes to what the last one waits for.
 */
class Tail {
  /** Of a leader nothing is relayed. */
  #ring: Buffer | undefined;
  readonly #waiting = new Set<{ readonly position: number; readonly tell: () => void }>();
  #start = 0;
  #end = 0;
  #pushedAt = Number.NEGATIVE_INFINITY;
  readers = 0;

  get isFresh(): boolean {
    return performance.now() - this.#pushedAt < FRESH_MS;
  }

  /** Tells once when it has the byte at `position`. Returns how to undo it. */
  onceItHolds(position: number, tell: () => void): () => void {
    const one = { position, tell };
    this.#waiting.add(one);
    return () => this.#waiting.delete(one);
  }

  /** Takes bytes that begin at `position`; what is not the continuation begins anew. */
  push(piece: Uint8Array, position: number): void {
    if (position !== this.#end) this.#start = position;
    const kept = piece.subarray(Math.max(0, piece.byteLength - TAIL_BYTES));
    this.#end = position + piece.byteLength;
    const at = (this.#end - kept.byteLength) % TAIL_BYTES;
    const first = kept.subarray(0, TAIL_BYTES - at);
    this.#ring ??= Buffer.allocUnsafeSlow(TAIL_BYTES);
    this.#ring.set(first, at);
    this.#ring.set(kept.subarray(first.byteLength), 0);
    this.#start = Math.max(this.#start, this.#end - TAIL_BYTES);
    this.#pushedAt = performance.now();
    for (const one of this.#waiting) {
      if (!this.#holds(one.position)) continue;
      this.#waiting.delete(one);
      one.tell();
    }
  }

  /** Copies what there is from `position` on; 0 when that is not here. */
  copy(buffer: Uint8Array, position: number): number {
    if (this.#ring === undefined || !this.#holds(position)) return 0;
    const at = position % TAIL_BYTES;
    const count = Math.min(buffer.byteLength, this.#end - position, TAIL_BYTES - at);
    buffer.set(this.#ring.subarray(at, at + count));
    return count;
  }

  #holds(position: number): boolean {
    return position >= this.#start && position < this.#end;
  }
}

/** Tails of what is relayed now and read by others: nobody pays for one that nobody reads. */
export class RelayTails {
  readonly #tails = new Map<Digest, Tail>();

  /** The body as it is; what passes is kept for a moment if somebody reads that digest here. */
  feed(body: Body, digest: Digest, start: number): Body {
    let position = start;
    return {
      next: async () => {
        const piece = await body.next();
        if (piece === undefined) return undefined;
        this.#tails.get(digest)?.push(piece, position);
        position += piece.byteLength;
        return piece;
      },
      close: () => body.close(),
    };
  }

  /** A reader that also has what was relayed and is not on the disk yet. Owns the reader that it is given. */
  reader(reader: Reader, digest: Digest): Reader {
    const tail = this.#tails.get(digest) ?? new Tail();
    this.#tails.set(digest, tail);
    tail.readers += 1;
    return new TailReader(reader, tail, () => {
      tail.readers -= 1;
      if (tail.readers === 0) this.#tails.delete(digest);
    });
  }
}

class TailReader implements Reader {
  readonly #reader: Reader;
  readonly #tail: Tail;
  readonly #onClose: () => void;
  #isOpen = true;

  constructor(reader: Reader, tail: Tail, onClose: () => void) {
    this.#reader = reader;
    this.#tail = tail;
    this.#onClose = onClose;
  }

  async read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number> {
    for (;;) {
      const count = this.#tail.copy(buffer, position);
      if (count > 0) return count;
      const held = Promise.withResolvers<void>();
      const newer = new AbortController();
      // Only when it has what is wanted here: one that is behind reads the disk, however fast the relay is.
      const forget = this.#tail.onceItHolds(position, () => {
        held.resolve();
        newer.abort(new Error('it was relayed meanwhile'));
      });
      try {
        // Settled before the buffer is used again: the kernel may still be writing to it.
        return await this.#reader.read(buffer, position, AbortSignal.any([signal, newer.signal]));
      } catch (error) {
        if (error === newer.signal.reason) continue;
        if (!(error instanceof StalledError) || !this.#tail.isFresh) throw error;
        await Promise.race([held.promise, delay(FRESH_MS, signal)]);
      } finally {
        forget();
      }
    }
  }

  close(): Promise<void> {
    if (this.#isOpen) this.#onClose();
    this.#isOpen = false;
    return this.#reader.close();
  }
}
