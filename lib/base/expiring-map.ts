import { BoundedMap } from './bounded-map.ts';

/** A bounded map that forgets an entry after its time. In a full map the oldest makes room. */
export class ExpiringMap<V> {
  readonly #entries: BoundedMap<string, { readonly value: V; readonly until: number }>;
  readonly #now: () => number;

  /** `now` is a monotonic clock in milliseconds; tests give their own. */
  constructor(max: number, now: () => number = () => performance.now()) {
    this.#entries = new BoundedMap(max);
    this.#now = now;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.until > this.#now()) return entry?.value;
    this.#entries.delete(key);
    return undefined;
  }

  /** The entry counts as the newest one, and is forgotten after `ttlMs`. */
  set(key: string, value: V, ttlMs: number): void {
    this.#entries.set(key, { value, until: this.#now() + ttlMs });
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}
