/**
 * Buffers, reused: a transfer needs one or two for its whole life, and fresh ones for every read
 * would be the garbage collector's work instead of ours. Where many are in use at once, further
 * ones are small: each costs a bit more CPU per byte, and all of them fit into the service's memory.
 *
 * A buffer goes back with `give` only when neither the kernel nor libuv can touch it any more (its write has
 * called back, its read has settled). One whose fate is not known is `lost`: handing it to the next
 * transfer could put foreign bytes into a layer.
 */
export class BufferPool {
  readonly #sizes: BufferSizes;
  readonly #free: Buffer[] = [];
  #inUse = 0;

  constructor(sizes: BufferSizes) {
    this.#sizes = sizes;
  }

  /** True while a buffer that is taken now is a small one. */
  get isCrowded(): boolean {
    return this.#inUse >= this.#sizes.maxLarge;
  }

  take(): Buffer {
    const { large, small } = this.#sizes;
    const buffer = this.isCrowded
      ? Buffer.allocUnsafeSlow(small)
      : (this.#free.pop() ?? Buffer.allocUnsafeSlow(large));
    this.#inUse += 1;
    return buffer;
  }

  give(buffer: Buffer): void {
    this.#inUse -= 1;
    const { large } = this.#sizes;
    const hasRoom = (this.#free.length + 1) * large <= MAX_FREE_BYTES;
    if (buffer.byteLength === large && hasRoom) this.#free.push(buffer);
  }

  /** One that was taken does not come back. */
  lost(): void {
    this.#inUse -= 1;
  }
}

/** What the buffers of a pool are like. */
export interface BufferSizes {
  /** In bytes. */
  readonly large: number;
  /** As soon as so many are in use, further ones are small. */
  readonly maxLarge: number;
  /** In bytes. */
  readonly small: number;
}

/** What stays for the next transfers: the layers that one containerd pulls at once, and some peers. */
const MAX_FREE_BYTES = 8 * 1024 * 1024;

/**
 * For serving files, two per transfer: large ones for 64 transfers at once. Measured: 64 KiB costs a
 * third more CPU, 1 MiB saves a fifth.
 */
export const SERVE_BUFFERS: BufferSizes = {
  large: 256 * 1024,
  maxLarge: 128,
  small: 64 * 1024,
};

/**
 * For relaying, one per transfer: large ones for five images of three layers each. Twenty images of
 * ten layers that one containerd pulls at once would take 200 MB of such.
 */
export const RELAY_BUFFERS: BufferSizes = {
  large: 1024 * 1024,
  maxLarge: 16,
  small: 128 * 1024,
};
