/**
 * Values of a metric's label: only so many become time series of their own, the rest share `other`.
 */
export class BoundedLabels {
  readonly #max: number;
  readonly #values = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }

  /** The label of a value that becomes a time series if there is room. */
  of(value: string): string {
    if (this.#values.size < this.#max) this.#values.add(value);
    return this.known(value);
  }

  /** The label of a value that somebody else chose: no time series begins with it. */
  known(value: string): string {
    return this.#values.has(value) ? value : 'other';
  }
}
