import type * as Ffi from 'node:ffi';
import type { FileHandle } from 'node:fs/promises';
import { PROBE_BYTES } from './constants.ts';

// Linux, the same on every architecture that Node runs on: preadv2(2), `struct iovec`.
const RWF_NOWAIT = 8;
const IOVEC_BYTES = 16;
const LENGTH_AT = 8;

// Pointers, which are known: to find a buffer's memory anew takes longer than the call itself.
const LIBC = {
  preadv2: { return: 'i64', arguments: ['i32', 'pointer', 'i32', 'i64', 'i32'] },
  readahead: { return: 'i64', arguments: ['i32', 'i64', 'u64'] },
} as const;

/** An `iovec` that names a buffer. */
class Vector {
  readonly pointer: bigint;
  readonly #ffi: typeof Ffi;
  readonly #bytes = Buffer.allocUnsafeSlow(IOVEC_BYTES);

  constructor(ffi: typeof Ffi) {
    this.#ffi = ffi;
    this.pointer = ffi.getRawPointer(this.#bytes);
  }

  /** From now on it names this buffer, which the caller keeps. */
  name(buffer: Uint8Array): void {
    this.#bytes.writeBigUInt64LE(this.#ffi.getRawPointer(buffer), 0);
    this.#bytes.writeBigUInt64LE(BigInt(buffer.byteLength), LENGTH_AT);
  }
}

/** Reads and finds what the kernel has of a file in memory, and never waits for the disk. */
export class PageCache {
  readonly #libc: ReturnType<typeof Ffi.dlopen<typeof LIBC>>['functions'];
  readonly #vector: Vector;
  readonly #probe = Buffer.allocUnsafeSlow(1);
  readonly #probeVector: Vector;

  /** Throws where libc lacks one of the calls. */
  constructor(ffi: typeof Ffi) {
    this.#libc = ffi.dlopen(null, LIBC).functions;
    this.#vector = new Vector(ffi);
    this.#probeVector = new Vector(ffi);
    this.#probeVector.name(this.#probe);
  }

  /**
   * Reads what the page cache has at once. Returns the number of bytes; 0 where the disk would have
   * to be asked, where the file system cannot tell, and at the end of the file.
   */
  read(file: FileHandle, buffer: Uint8Array, position: number): number {
    this.#vector.name(buffer);
    return this.#readTo(this.#vector, file, position);
  }

  /**
   * How many bytes from `start` on, up to `end`, are in the page cache. The kernel begins to read
   * those that are not.
   */
  cachedBytes(file: FileHandle, start: number, end: number): number {
    if (!this.#has(file, start)) return 0;
    // A look at a missing page makes the kernel read that page alone: the next look would find it
    // and take all before it for cached. So all of them are on their way before the look.
    this.#libc.readahead(file.fd, BigInt(start), BigInt(end - start));
    for (let at = start; at < end; at += PROBE_BYTES) {
      const next = Math.min(at + PROBE_BYTES, end);
      // Its end comes last from the disk. And somewhere: clients choose by what they ask for which
      // pages are in the cache.
      const place = at + Math.floor(Math.random() * (next - at));
      if (!this.#has(file, next - 1) || !this.#has(file, place)) return at - start;
    }
    return end - start;
  }

  #has(file: FileHandle, position: number): boolean {
    return this.#readTo(this.#probeVector, file, position) > 0;
  }

  #readTo({ pointer }: Vector, { fd }: FileHandle, position: number): number {
    return Math.max(0, Number(this.#libc.preadv2(fd, pointer, 1, BigInt(position), RWF_NOWAIT)));
  }
}
