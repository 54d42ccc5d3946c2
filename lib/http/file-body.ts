import type { Body } from './body.ts';
import type { BufferPool } from './buffers.ts';
import type { ByteRange } from './ranges.ts';

/** Bytes at an offset: what a store's reader offers. */
export interface ByteReader {
  read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

/**
 * A range of stored content, read ahead: while one buffer is written to the client the next piece is read
 * into the other. Owns the reader. Half the CPU per byte of `createReadStream().pipe()` (facts/lab.md).
 */
export class FileBody implements Body {
  readonly #reader: ByteReader;
  readonly #buffers: BufferPool;
  readonly #end: number;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  readonly #hang: NodeJS.Timeout;
  #waiting = false;
  #position: number;
  /** The read that is under way, and what it reads into. */
  #reading: { readonly buffer: Buffer; readonly count: Promise<number> } | undefined;
  /** The buffer of the piece that was handed out. */
  #lent: Buffer | undefined;

  /** `hangMs`: a read that gives nothing for so many milliseconds is given up; by default what a disk may take. */
  constructor(
    reader: ByteReader,
    range: ByteRange,
    buffers: BufferPool,
    signal: AbortSignal,
    hangMs = READ_MS,
  ) {
    this.#reader = reader;
    this.#buffers = buffers;
    this.#position = range.start;
    this.#end = range.end;
    this.#signal = AbortSignal.any([signal, this.#abort.signal]);
    this.#hang = setTimeout(() => this.#onHang(hangMs), hangMs);
    this.#readAhead();
  }

  /** Resolves when the first piece is here: from then on the content is known to be readable. */
  async ready(): Promise<void> {
    if ((await this.#reading?.count) === 0) throw this.#endsEarly();
  }

  async next(): Promise<Uint8Array | undefined> {
    const reading = this.#reading;
    if (reading === undefined) return undefined;
    this.#waiting = true;
    this.#hang.refresh();
    const count = await reading.count;
    this.#waiting = false;
    if (count === 0)
      throw new Error(`the content ends at byte ${this.#position}, not ${this.#end}`);
    this.#position += count;
    const spare = this.#lent;
    this.#lent = reading.buffer;
    this.#readAhead(spare);
    return reading.buffer.subarray(0, count);
  }

  close(): void {
    clearTimeout(this.#hang);
    this.#abort.abort();
    if (this.#lent !== undefined) this.#buffers.give(this.#lent);
    this.#lent = undefined;
    const reading = this.#reading;
    this.#reading = undefined;
    // A read that failed or hangs may still fill its buffer: only one that succeeded gives it back.
    reading?.count.then(
      () => this.#buffers.give(reading.buffer),
      () => this.#buffers.lost(),
    );
    // The descriptor of a hanging disk closes when the kernel lets go; there is nobody to tell.
    this.#reader.close().catch(() => {});
  }

  #endsEarly(): Error {
    return new Error(`the content ends at byte ${this.#position}, not ${this.#end}`);
  }

  #onHang(hangMs: number): void {
    if (this.#waiting) this.#abort.abort(new Error(`no byte from the store within ${hangMs} ms`));
  }

  #readAhead(spare?: Buffer): void {
    this.#reading = undefined;
    const missing = this.#end - this.#position;
    if (missing === 0) {
      if (spare !== undefined) this.#buffers.give(spare);
      return;
    }
    const buffer = spare ?? this.#buffers.take();
    const count = this.#reader.read(buffer.subarray(0, missing), this.#position, this.#signal);
    // `next` awaits the same promise; until then a rejection must not count as unhandled.
    count.catch(() => {});
    this.#reading = { buffer, count };
  }
}

/** A disk that gives nothing for that long is given up: containerd would wait for ever. */
export const READ_MS = 5_000;
