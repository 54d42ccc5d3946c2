import { delay } from '../base/abortable.ts';
import type { Body } from '../http/body.ts';
import type { Digest } from '../oci/digest.ts';
import { type FileStretch, type Reader, StalledError } from '../store/store.ts';
import { RELAY_FRESH_MS, RELAY_TAIL_BYTES } from './constants.ts';

/**
 * The last bytes of a digest that this host relayed, in a ring. On the disk they appear up to 1 MiB
 * later: without the ring, each host of a chain would add the time of 1 MiB to the wait of the last
 * one.
 */
class Tail {
  /** Undefined while nothing is relayed, as on the leader of a download. */
  #ring: Buffer | undefined;
  readonly #waiting = new Set<{ readonly position: number; readonly notify: () => void }>();
  #start = 0;
  #end = 0;
  #pushedAt = Number.NEGATIVE_INFINITY;
  readers = 0;

  get isFresh(): boolean {
    return performance.now() - this.#pushedAt < RELAY_FRESH_MS;
  }

  /** Calls `notify` once the byte at `position` is here. Returns a function that cancels it. */
  whenHeld(position: number, notify: () => void): () => void {
    const waiter = { position, notify };
    this.#waiting.add(waiter);
    return () => this.#waiting.delete(waiter);
  }

  /** Takes bytes that begin at `position`. Starts anew where they do not follow the last ones. */
  push(piece: Uint8Array, position: number): void {
    if (position !== this.#end) this.#start = position;
    const kept = piece.subarray(Math.max(0, piece.byteLength - RELAY_TAIL_BYTES));
    this.#end = position + piece.byteLength;
    const at = (this.#end - kept.byteLength) % RELAY_TAIL_BYTES;
    const first = kept.subarray(0, RELAY_TAIL_BYTES - at);
    this.#ring ??= Buffer.allocUnsafeSlow(RELAY_TAIL_BYTES);
    this.#ring.set(first, at);
    this.#ring.set(kept.subarray(first.byteLength), 0);
    this.#start = Math.max(this.#start, this.#end - RELAY_TAIL_BYTES);
    this.#pushedAt = performance.now();
    for (const waiter of this.#waiting) {
      if (!this.#holds(waiter.position)) continue;
      this.#waiting.delete(waiter);
      waiter.notify();
    }
  }

  /** Copies the bytes from `position` on, and returns how many; 0 when that byte is not here. */
  copy(buffer: Uint8Array, position: number): number {
    if (this.#ring === undefined || !this.#holds(position)) return 0;
    const at = position % RELAY_TAIL_BYTES;
    const count = Math.min(buffer.byteLength, this.#end - position, RELAY_TAIL_BYTES - at);
    buffer.set(this.#ring.subarray(at, at + count));
    return count;
  }

  #holds(position: number): boolean {
    return position >= this.#start && position < this.#end;
  }
}

/** The tails of digests that are read by peers: a digest without readers has none. */
export class RelayTails {
  readonly #tails = new Map<Digest, Tail>();

  /** The body, unchanged. Its bytes are kept for a moment while a peer reads the digest here. */
  tap(body: Body, digest: Digest, start: number): Body {
    let position = start;
    return {
      next: async () => {
        const piece = await body.next();
        if (piece === undefined) return undefined;
        this.#tails.get(digest)?.push(piece, position);
        position += piece.byteLength;
        return piece;
      },
      send: async (client) => {
        // A peer that reads the digest here needs a copy.
        const sent = this.#tails.has(digest) ? 0 : ((await body.send?.(client)) ?? 0);
        position += sent;
        return sent;
      },
      close: () => body.close(),
    };
  }

  /** A reader that also has bytes that are relayed and not on the disk yet. Owns `reader`. */
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

  inFile(): FileStretch | undefined {
    return this.#reader.inFile?.();
  }

  async read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number> {
    for (;;) {
      const count = this.#tail.copy(buffer, position);
      if (count > 0) return count;
      const held = Promise.withResolvers<void>();
      const relayed = new AbortController();
      // Called only when the tail holds this position: a reader that is behind reads the disk.
      const cancel = this.#tail.whenHeld(position, () => {
        held.resolve();
        relayed.abort(new Error('it was relayed meanwhile'));
      });
      try {
        // Awaited before the buffer is used again: the kernel may still write to it.
        return await this.#reader.read(buffer, position, AbortSignal.any([signal, relayed.signal]));
      } catch (error) {
        if (error === relayed.signal.reason) continue;
        if (!(error instanceof StalledError) || !this.#tail.isFresh) throw error;
        await Promise.race([held.promise, delay(RELAY_FRESH_MS, signal)]);
      } finally {
        cancel();
      }
    }
  }

  close(): Promise<void> {
    if (this.#isOpen) this.#onClose();
    this.#isOpen = false;
    return this.#reader.close();
  }
}
