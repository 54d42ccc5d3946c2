/** How much of something each has: keys that have none are forgotten. */
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
