/**
 * A map of at most `max` entries. `set` makes its entry the newest one, also when the key is there
 * already; in a full map the oldest entry makes room. Iterates from the oldest to the newest.
 */
export class BoundedMap<K, V> extends Map<K, V> {
  readonly #max: number;

  constructor(max: number) {
    super();
    this.#max = max;
  }

  override set(key: K, value: V): this {
    this.delete(key);
    for (const oldest of this.keys()) {
      if (this.size < this.#max) break;
      this.delete(oldest);
    }
    return super.set(key, value);
  }
}
