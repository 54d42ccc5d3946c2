/** A count for each key. Keys with a count of 0 take no memory. */
export class KeyedCounts {
  readonly #counts = new Map<string, number>();

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  add(key: string, change: number): void {
    const now = this.of(key) + change;
    if (now === 0) this.#counts.delete(key);
    else this.#counts.set(key, now);
  }
}
