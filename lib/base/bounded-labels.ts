/** Values of a metric's label: `max` of them get time series of their own, others share `other`. */
export class BoundedLabels {
  readonly #max: number;
  readonly #values = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }

  /** The label of a value, which gets a time series of its own if there is room. */
  of(value: string): string {
    if (this.#values.size < this.#max) this.#values.add(value);
    return this.known(value);
  }

  /** The label of a value that another host chose, which begins no time series. */
  known(value: string): string {
    return this.#values.has(value) ? value : 'other';
  }
}
