import type { FileHandle } from 'node:fs/promises';
import type { Socket } from 'node:net';
import type { Body } from './body.ts';
import type { BufferPool } from './buffers.ts';
import { COLD_BYTES, MAX_EMPTY_SENDS, PIECE_BYTES, READ_TIMEOUT_MS } from './constants.ts';
import type { ByteRange } from './ranges.ts';
import { type FileRange, type ZeroCopy, zeroCopy } from './zero-copy.ts';

/** Bytes at an offset: what a store's reader offers. */
export interface ByteReader {
  /** The file, and up to which of its bytes it can be sent now; undefined: only `read` tells. */
  inFile?(): { readonly file: FileHandle; readonly end: number } | undefined;
  read(buffer: Uint8Array, position: number, signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

/**
 * Reads what the page cache has, without a turn of the thread pool, for which clients of a slow
 * disk may queue. Returns the number of bytes; 0: only `reader.read` tells.
 */
export function readCached(reader: ByteReader, buffer: Uint8Array, position: number): number {
  const there = reader.inFile?.();
  const wanted = Math.min(buffer.byteLength, (there?.end ?? 0) - position);
  if (there === undefined || wanted <= 0) return 0;
  return zeroCopy()?.pageCache.read(there.file, buffer.subarray(0, wanted), position) ?? 0;
}

interface Reading {
  readonly buffer: Buffer;
  readonly count: Promise<number>;
}

/**
 * A range of stored content. Owns the reader. The kernel sends what the page cache has (`send`);
 * between, `next` gives a small piece, with which the caller waits for the client. All else comes
 * by reads of a whole buffer: while one is written, the next one is read.
 */
export class FileBody implements Body {
  readonly #reader: ByteReader;
  readonly #buffers: BufferPool;
  readonly #end: number;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  readonly #hang: NodeJS.Timeout;
  readonly #kernel: ZeroCopy | undefined;
  /** To which the kernel sends. */
  #client: Socket | undefined;
  /** For a piece out of the page cache. */
  #small: Buffer | undefined;
  #isWaiting = false;
  #position: number;
  /** Bytes before it come by reads of a whole buffer. */
  #coldUntil = 0;
  readonly #look = { end: 0, at: 0 };
  /** How often in a row the kernel has sent nothing. */
  #emptySends = 0;
  /** The read that is under way. */
  #reading: Reading | undefined;
  /** The buffer of the pool whose piece was handed out. */
  #lent: Buffer | undefined;

  /** `hangMs`: a read that gives nothing for so long is given up. */
  constructor(
    reader: ByteReader,
    range: ByteRange,
    buffers: BufferPool,
    signal: AbortSignal,
    hangMs = READ_TIMEOUT_MS,
  ) {
    this.#reader = reader;
    this.#buffers = buffers;
    this.#position = range.start;
    this.#end = range.end;
    this.#signal = AbortSignal.any([signal, this.#abort.signal]);
    this.#hang = setTimeout(() => this.#onHang(hangMs), hangMs);
    this.#kernel = reader.inFile === undefined ? undefined : zeroCopy();
    this.#reading = this.#read();
  }

  /** Resolves when the first piece is here: from then on the content is known to be readable. */
  async ready(): Promise<void> {
    if ((await this.#reading?.count) === 0) throw this.#endsEarly();
  }

  async next(): Promise<Uint8Array | undefined> {
    const reading = this.#reading ?? this.#read();
    if (reading === undefined) return undefined;
    this.#reading = reading;
    this.#isWaiting = true;
    this.#hang.refresh();
    const count = await reading.count;
    this.#isWaiting = false;
    if (count === 0) throw this.#endsEarly();
    this.#position += count;
    this.#giveBack();
    const isFromDisk = reading.buffer !== this.#small;
    if (isFromDisk) this.#lent = reading.buffer;
    this.#reading = isFromDisk ? this.#readAhead() : undefined;
    return reading.buffer.subarray(0, count);
  }

  async send(socket: Socket): Promise<number> {
    // A piece that is read ahead comes first.
    const range = this.#reading === undefined ? this.#inFile() : undefined;
    if (this.#kernel === undefined || range === undefined) return 0;
    this.#client = socket;
    const { bytes, isCold } = await this.#kernel.send(socket, range);
    this.#position += bytes;
    this.#emptySends = bytes === 0 ? this.#emptySends + 1 : 0;
    if (isCold) this.#goCold();
    // Small pieces would cost more than whole buffers.
    else if (this.#emptySends >= MAX_EMPTY_SENDS) this.#coldUntil = this.#end;
    return bytes;
  }

  close(): void {
    clearTimeout(this.#hang);
    this.#abort.abort();
    if (this.#client !== undefined) this.#kernel?.release(this.#client);
    this.#giveBack();
    const reading = this.#reading;
    this.#reading = undefined;
    // A read that failed or hangs may still fill its buffer, so that one is not reused.
    if (reading !== undefined && reading.buffer !== this.#small) {
      reading.count.then(
        () => this.#buffers.give(reading.buffer),
        () => this.#buffers.lost(),
      );
    }
    // The descriptor on a hanging disk closes when the kernel lets go; no caller waits for that.
    this.#reader.close().catch(() => {});
  }

  #endsEarly(): Error {
    return new Error(`the content ends at byte ${this.#position}, not ${this.#end}`);
  }

  #onHang(hangMs: number): void {
    if (this.#isWaiting) this.#abort.abort(new Error(`no byte from the store within ${hangMs} ms`));
  }

  /** The next piece: a small one out of the page cache, or a whole buffer from the disk. */
  #read(): Reading | undefined {
    if (this.#position === this.#end) return undefined;
    if (this.#kernel === undefined || this.#position < this.#coldUntil) return this.#readFromDisk();
    this.#small ??= Buffer.allocUnsafeSlow(PIECE_BYTES);
    const count = this.#readCached(this.#small);
    if (count === 0) return this.#readFromDisk();
    return { buffer: this.#small, count: Promise.resolve(count) };
  }

  /** Reads while the piece before is written, unless the kernel can send from here on. */
  #readAhead(): Reading | undefined {
    if (this.#position === this.#end) return undefined;
    const isCold = this.#position < this.#coldUntil;
    return !isCold && this.#readCached(Buffer.allocUnsafe(1)) > 0
      ? undefined
      : this.#readFromDisk();
  }

  #readCached(buffer: Buffer): number {
    const range = this.#inFile();
    if (this.#kernel === undefined || range === undefined) return 0;
    const { file, start, end } = range;
    const count = this.#kernel.pageCache.read(file, buffer.subarray(0, end - start), start);
    if (count === 0) this.#goCold();
    return count;
  }

  /** The disk is asked for the next bytes. To look again soon would make it read page by page. */
  #goCold(): void {
    this.#coldUntil = this.#position + COLD_BYTES;
  }

  /** What the file has now of the bytes that are missing; undefined: nothing. */
  #inFile(): FileRange | undefined {
    const there = this.#reader.inFile?.();
    if (there === undefined) return undefined;
    const [start, end] = [this.#position, Math.min(this.#end, there.end)];
    return start < end ? { file: there.file, start, end, look: this.#look } : undefined;
  }

  #readFromDisk(): Reading {
    const buffer = this.#buffers.take();
    const missing = this.#end - this.#position;
    const count = this.#reader.read(buffer.subarray(0, missing), this.#position, this.#signal);
    // `next` awaits the same promise; until then a rejection must not count as unhandled.
    count.catch(() => {});
    return { buffer, count };
  }

  #giveBack(): void {
    if (this.#lent !== undefined) this.#buffers.give(this.#lent);
    this.#lent = undefined;
  }
}
