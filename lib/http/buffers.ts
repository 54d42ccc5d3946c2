import { type BufferSizes, MAX_FREE_BYTES } from './constants.ts';

/**
 * Reuses buffers: a transfer needs one or two for its whole life, and a new one for each read would
 * cost garbage collection. While many are in use, further ones are small. A small one costs a bit
 * more CPU per byte, but all of them fit into the memory of the service.
 *
 * A buffer goes back with `give` only when neither the kernel nor libuv can touch it any more: its
 * write has called back, its read has settled. Otherwise it is `lost`, because in the next transfer
 * bytes of this one could get into a layer.
 */
export class BufferPool {
  readonly #sizes: BufferSizes;
  readonly #free: Buffer[] = [];
  #inUse = 0;

  constructor(sizes: BufferSizes) {
    this.#sizes = sizes;
  }

  /** True while `take` gives small buffers. */
  get isCrowded(): boolean {
    return this.#inUse >= this.#sizes.maxLarge;
  }

  take(): Buffer {
    const { largeBytes, smallBytes } = this.#sizes;
    const buffer = this.isCrowded
      ? Buffer.allocUnsafeSlow(smallBytes)
      : (this.#free.pop() ?? Buffer.allocUnsafeSlow(largeBytes));
    this.#inUse += 1;
    return buffer;
  }

  give(buffer: Buffer): void {
    this.#inUse -= 1;
    const { largeBytes } = this.#sizes;
    const hasRoom = (this.#free.length + 1) * largeBytes <= MAX_FREE_BYTES;
    if (buffer.byteLength === largeBytes && hasRoom) this.#free.push(buffer);
  }

  /** A buffer that was taken does not come back. */
  lost(): void {
    this.#inUse -= 1;
  }
}
