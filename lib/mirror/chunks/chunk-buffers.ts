import { MAX_FREE_CHUNK_BYTES, MAX_WINDOWS_BYTES } from './constants.ts';

/**
 * The memory for chunks of all bodies. The chunk that a body's client waits for always gets some:
 * otherwise bodies would wait for each other.
 */
export class ChunkBuffers {
  #free: Buffer[] = [];
  #freeBytes = 0;
  #inUse = 0;

  /** Bytes of buffers that were taken. */
  get inUse(): number {
    return this.#inUse;
  }

  /** A buffer of `length` bytes. Undefined: the windows of this host are full. */
  take(length: number, isNext: boolean): Buffer | undefined {
    if (!isNext && this.#inUse + length > MAX_WINDOWS_BYTES) return undefined;
    this.#inUse += length;
    const index = this.#free.findIndex(({ byteLength }) => byteLength === length);
    if (index === -1) return Buffer.allocUnsafeSlow(length);
    this.#freeBytes -= length;
    return this.#free.splice(index, 1)[0];
  }

  /** Nobody reads or writes it any more. */
  give(buffer: Buffer): void {
    this.#inUse -= buffer.byteLength;
    if (this.#inUse === 0) {
      this.#free = [];
      this.#freeBytes = 0;
    } else if (this.#freeBytes + buffer.byteLength <= MAX_FREE_CHUNK_BYTES) {
      this.#free.push(buffer);
      this.#freeBytes += buffer.byteLength;
    }
  }
}
