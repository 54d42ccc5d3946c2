/**
 * Values of a metric's label that others can choose: only so many become time series of their own,
 * the rest share `other`.
 */
export class BoundedLabels {
  readonly #max: number;
  readonly #values = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }

  of(value: string): string {
    if (this.#values.size < this.#max) this.#values.add(value);
    return this.#values.has(value) ? value : 'other';
  }
}
