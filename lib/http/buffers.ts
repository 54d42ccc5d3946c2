/**
 * Buffers of one size, reused: a transfer needs one or two for its whole life, and fresh ones for every read
 * would be the garbage collector's work instead of ours.
 *
 * A buffer goes back with `give` only when neither the kernel nor libuv can touch it any more (its write has
 * called back, its read has settled). One whose fate is not known is simply dropped: handing it to the next
 * transfer could put foreign bytes into a layer.
 */
export class BufferPool {
  readonly #bytes: number;
  readonly #free: Buffer[] = [];

  /** `bytes`: the size of each buffer. */
  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#bytes);
  }

  give(buffer: Buffer): void {
    if ((this.#free.length + 1) * this.#bytes <= MAX_FREE_BYTES) this.#free.push(buffer);
  }
}

/** What stays for the next transfers: the layers that one containerd pulls at once, and some peers. */
const MAX_FREE_BYTES = 8 * 1024 * 1024;

/**
 * For serving files, two per transfer and up to 256 transfers. Measured: 64 KiB costs a third more CPU, 1 MiB
 * saves a fifth.
 */
export const SERVE_BUFFER_BYTES = 256 * 1024;

/**
 * For relaying, one per transfer and as many transfers as containerd pulls layers (3), and 32 of
 * clients on other hosts: it may be large.
 */
export const RELAY_BUFFER_BYTES = 1024 * 1024;
