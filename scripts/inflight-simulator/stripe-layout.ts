/** How a body's chunks are dealt to stripes: chunk `i` belongs to stripe `i mod count`. */
export class StripeLayout {
  readonly count: number;
  readonly #chunk: number;
  readonly #size: number;
  readonly #sizes: readonly number[];

  constructor(size: number, count: number, chunk: number) {
    this.count = count;
    this.#chunk = chunk;
    this.#size = size;
    this.#sizes = Array.from({ length: count }, (_, stripe) => this.#within(size, stripe));
  }

  /** Bytes of a stripe. */
  sizeOf(stripe: number): number {
    return this.#sizes[stripe] as number;
  }

  /** Bytes of a stripe among the body's first `position` bytes. */
  within(position: number, stripe: number): number {
    return position >= this.#size ? this.sizeOf(stripe) : this.#within(position, stripe);
  }

  #within(position: number, stripe: number): number {
    const round = this.#chunk * this.count;
    const rest = (position % round) - stripe * this.#chunk;
    return Math.floor(position / round) * this.#chunk + Math.max(0, Math.min(this.#chunk, rest));
  }

  /** Where the first byte stands that a host with the first `have` bytes of a stripe lacks. */
  firstMissing(have: number, stripe: number): number {
    if (have >= this.sizeOf(stripe) - 2) return this.#size;
    const chunk = Math.floor(have / this.#chunk);
    return (chunk * this.count + stripe) * this.#chunk + (have % this.#chunk);
  }
}
